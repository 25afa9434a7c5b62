"""The report as a reader meets it, in Chromium: what it loads, what pointer and keyboard do, whether everything has room."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from analysis.read.study import RecordedStudy, read_study
from analysis.report.report import write_report
from tests.support.browser import CHROMIUM, Browser
from tests.support.fake_studies import FakeTrial, frames_png, metrics, write_study

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no {CHROMIUM}")

Maker = Callable[..., RecordedStudy]
PRINTED = 718  # CSS pixels between the margins of an A4 page
HOSTILE = "<script>window.owned = 1</script><img src=x onerror='window.owned = 1'>\"'&{{ 7*7 }}"

# Every text on the page with its place; figures that are images are laid open, at the size they are shown in.
LAYOUT = """(() => {
  const texts = (root) => {
    const found = [], walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const node = walker.currentNode, parent = node.parentElement;
      if (!node.data.trim() || parent.closest("script, style, template, title") || !parent.checkVisibility()) continue;
      const range = document.createRange();
      range.selectNodeContents(node);
      for (const r of range.getClientRects())
        if (r.width > 1 && r.height > 1) {
          const inset = r.width > r.height || !parent.closest("svg") ? r.height * 0.2 : 0;
          found.push({ text: node.data.trim(), left: r.left + 1, right: r.right - 1, top: r.top + inset,
                       bottom: r.bottom - inset, scrolls: !!parent.closest(".scroll") });
        }
    }
    return found;
  };
  const overlaps = (items) => {
    items.sort((a, b) => a.top - b.top);
    const found = [];
    items.forEach((a, i) => {
      for (let j = i + 1; j < items.length && items[j].top < a.bottom; j++)
        if (a.left < items[j].right && items[j].left < a.right) found.push(`${a.text} | ${items[j].text}`);
    });
    return found;
  };
  const problems = { overlapping: overlaps(texts(document.body)), outside: [], cut: [] };
  const width = document.documentElement.clientWidth, printing = matchMedia("print").matches;
  for (const item of document.querySelectorAll("main *")) {
    const box = item.getBoundingClientRect(), scrolls = !printing && item.closest(".scroll") && !item.matches(".scroll");
    if (!box.width || (item.closest("svg") && item.tagName !== "svg") || scrolls) continue;
    if (box.left < -1 || box.right > width + 1) problems.outside.push(`${item.tagName}: ${item.textContent.slice(0, 60)}`);
  }
  const inside = (svg, where) => {
    const frame = svg.getBoundingClientRect();
    for (const t of texts(svg))
      if (t.left < frame.left - 1 || t.right > frame.right + 1 || t.top < frame.top - 1 || t.bottom > frame.bottom + 1)
        problems.cut.push(`${t.text} of ${where}`);
  };
  document.querySelectorAll(".front svg").forEach((svg) => svg.getBoundingClientRect().width && inside(svg, "front"));
  for (const image of document.images) {
    if (!image.currentSrc.startsWith("data:image/svg") || !image.getBoundingClientRect().width) continue;
    const holder = document.createElement("div");
    holder.style = `position: absolute; left: 0; top: 0; width: ${image.getBoundingClientRect().width}px`;
    holder.innerHTML = new TextDecoder().decode(Uint8Array.from(atob(image.currentSrc.split(",")[1]), (c) => c.charCodeAt(0)));
    const svg = holder.querySelector("svg");
    svg.style.width = "100%"; svg.style.height = "auto";
    document.body.append(holder);
    problems.overlapping.push(...overlaps(texts(svg)).map((text) => `${text} in ${image.alt}`));
    inside(svg, image.alt);
    holder.remove();
  }
  return { ...problems, overflow: document.documentElement.scrollWidth - innerWidth };
})()"""
NOTHING_WRONG: dict[str, Any] = {"overlapping": [], "outside": [], "cut": [], "overflow": 0}

MEANS = """[...document.querySelectorAll(".point[tabindex]")].filter((p) => p.getBoundingClientRect().width)"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    found = Browser(tmp_path_factory.mktemp("browser"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def report(study: RecordedStudy, tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_report(study, tmp_path_factory.mktemp("report")).as_uri()


@pytest.fixture(scope="module")
def overlay(empty_store: Path, study: RecordedStudy, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two studies, the second with long names and many settings."""
    folder = tmp_path_factory.mktemp("overlay")
    shutil.copy(empty_store, folder)
    store = f"sqlite:///{folder / empty_store.name}"
    trials = [FakeTrial("raw", "raw", seed, metrics(0.97, 0.8), frames=frames_png()) for seed in (0, 1)]
    trials += [
        FakeTrial(
            f"a_rather_long_method_name with a setting of its own number={number}",
            "a_rather_long_method_name",
            seed,
            metrics(0.9 - 0.02 * number + 0.005 * seed, 0.2 + 0.03 * number),
            curves=number < 3,
        )
        for number in range(12)
        for seed in (0, 1)
    ]
    write_study(store, folder / "artifacts", "other_methods", "generated", trials)
    return write_report(study, folder, compared=[read_study("other_methods", tracking_uri=store)]).as_uri()


def center(browser: Browser, label: str) -> tuple[float, float]:
    """Where the mean of a setting lies, after scrolling there."""
    find = f"{MEANS}.find((p) => p.getAttribute('aria-label').startsWith({label!r}))"
    browser.evaluate(f"{find}.scrollIntoView({{ block: 'center' }})")
    box = browser.evaluate(f"{find}.getBoundingClientRect().toJSON()")
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def text(browser: Browser, selector: str) -> str:
    return " ".join(str(browser.evaluate(f"document.querySelector({selector!r}).innerText")).split())


@pytest.mark.parametrize("page", ["report", "overlay"])
@pytest.mark.parametrize(("width", "media"), [(360, ""), (768, ""), (1440, ""), (PRINTED, "print")])
def test_everything_has_room(browser: Browser, page: str, width: int, media: str, request: pytest.FixtureRequest) -> None:
    browser.resize(width, media=media)
    browser.open(request.getfixturevalue(page))
    if media == "print":
        browser.evaluate("document.querySelectorAll('details').forEach((item) => { item.open = true; })")
    assert browser.evaluate(LAYOUT) == NOTHING_WRONG


def test_nothing_is_asked_for_and_nothing_complains(browser: Browser, report: str) -> None:
    browser.resize(1440)
    browser.open(report)
    assert browser.requests == [report]
    assert browser.console == []
    assert browser.evaluate("[...document.images].filter((image) => !image.naturalWidth).length") == 0


@pytest.mark.parametrize("width", [360, 1440])
def test_pointing_at_a_mark_tells_its_settings_figures_and_runs(
    browser: Browser, report: str, study: RecordedStudy, width: int
) -> None:
    browser.resize(width)
    browser.open(report)
    browser.point(*center(browser, "B=0.3 lambda=1"))
    told = text(browser, "#panel")
    runs = study.trials.index[study.trials["label"] == "B=0.3 lambda=1"]
    for expected in ("B=0.3 lambda=1 mean of n = 3", "top-1 accuracy 9", "leakage above chance 4", *map(str, runs)):
        assert expected in told
    assert "minimax.distortion_budget 0.3" in told
    assert browser.evaluate("document.querySelectorAll('.point.active').length") == 2  # on both figures, one of them hidden


def test_the_panel_opens_with_the_setting_of_the_answer(browser: Browser, report: str) -> None:
    browser.resize(1440)
    browser.open(report)
    assert text(browser, "#card h3") == "B=0.3 lambda=1"
    assert text(browser, "#shown") == "B=0.3 lambda=1, seed 0"
    assert "Point at a mark" in text(browser, "#panel")
    browser.point(*center(browser, "raw"))
    assert text(browser, "#card h3") == "raw"
    assert text(browser, "#shown") == ""


def test_clicking_shows_the_frames_until_it_is_let_go(browser: Browser, report: str) -> None:
    browser.resize(1440)
    browser.open(report)
    browser.point(*center(browser, "B=0.3 lambda=1"), click=True)
    assert text(browser, "#shown") == "B=0.3 lambda=1, seed 0"
    image = browser.evaluate("(({ naturalWidth, alt }) => [naturalWidth, alt])(document.querySelector('#shown img'))")
    assert image == [256, "Frames of B=0.3 lambda=1: raw in the upper row, anonymized in the lower row"]
    browser.point(*center(browser, "raw"))
    assert text(browser, "#card h3") == "B=0.3 lambda=1"  # held
    browser.press("Escape")
    browser.point(*center(browser, "raw"))
    assert text(browser, "#card h3") == "raw"
    assert text(browser, "#shown") == ""


def test_the_keyboard_reaches_every_mean_and_its_frames(browser: Browser, report: str) -> None:
    browser.resize(1440)
    browser.open(report)
    browser.point(1, 1)
    seen = []
    for _ in range(5):
        browser.press("Tab")
        seen.append(text(browser, "#card h3"))
        assert browser.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    assert sorted(seen) == ["B=0 lambda=1", "B=0.3 lambda=1", "B=0.5 lambda=1", "B=0.9 lambda=1", "raw"]
    browser.press("Enter")
    assert text(browser, "#shown") == f"{seen[-1]}, seed 0"


def test_a_run_on_a_server_is_a_link(browser: Browser, study: RecordedStudy, tmp_path: Path) -> None:
    """The page asks nobody for it: it only says where it is."""
    from dataclasses import replace

    from analysis.measure.plane import Plane
    from analysis.measure.settings import settings_table
    from analysis.report.cards import cards
    from analysis.report.drawing import Mark

    served = replace(study, tracking_uri="https://me:secret@mlflow.example/", experiment_id="7")
    marks = {"mean-0": Mark("raw", "raw", is_mean=True)}
    (card,) = cards([served], (served.trials, settings_table(served.trials)), Plane(), marks, {})
    assert [run.href for run in card.runs] == [f"https://mlflow.example/#/experiments/7/runs/{run.run_id}" for run in card.runs]


def test_hostile_names_run_nothing(browser: Browser, make_study: Maker, tmp_path: Path) -> None:
    trials = [
        FakeTrial(
            HOSTILE,
            seed=seed,
            metrics=metrics(0.9, 0.5),
            values={"anonymizer.weights": HOSTILE},
            frames=frames_png(),
            curves=True,
        )
        for seed in (0, 1)
    ]
    trials.append(FakeTrial("raw", "raw", metrics=metrics(0.95, 0.7)))
    trials.append(FakeTrial("</template><script>window.owned = 1</script>", status="FAILED", reason=HOSTILE))
    page = write_report(make_study(trials, space="</title><script>window.owned = 1</script>"), tmp_path / "out").as_uri()
    browser.resize(1440)
    browser.open(page)
    browser.evaluate(f"{MEANS}[0].focus()")
    for index in range(2):
        browser.evaluate(f"{MEANS}[{index}].focus()")
        browser.press("Enter")
    assert browser.evaluate("window.owned ?? null") is None
    assert browser.console == []
    assert browser.requests == [page]
    assert browser.evaluate("document.body.innerText.includes('<script>window.owned = 1</script>')")
    assert browser.evaluate("document.querySelectorAll('script').length") == 1


def test_a_study_with_nothing_to_show_is_a_page_all_the_same(browser: Browser, make_study: Maker, tmp_path: Path) -> None:
    page = write_report(make_study([]), tmp_path / "out").as_uri()
    for width in (360, 1440):
        browser.resize(width)
        browser.open(page)
        assert browser.evaluate(LAYOUT) == NOTHING_WRONG
        assert browser.console == []
        assert "This study gives no answer yet." in text(browser, "main")
