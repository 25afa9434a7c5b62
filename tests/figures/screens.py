"""What a study looks like in a browser, as pictures: its report, and its runs in MLflow's own interface.

    python -m tests.figures.screens --space demo --tracking-uri URI --out FOLDER

Needs Chromium at /usr/bin/chromium, and the report of the study in FOLDER. Makes report.png, the report down to its front, and
mlflow.png, the view that the study shares, both 1440 pixels wide. MLflow's server is on a free port of 127.0.0.1 and ends with
the command.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlflow.tracking import MlflowClient
from PIL import Image

from study.records.view import view_of
from tests.support.browser import CHROMIUM, Browser
from tests.support.ports import answers, free_ports

WIDTH, HEIGHT, REPORT_HEIGHT = 1440, 900, 1300
_START_SECONDS = 180
_DRAWN_SECONDS = 8.0  # MLflow's charts move into place, and nothing on the page says when they stand

# MLflow opens a panel at the right by itself, which takes a quarter of the window.
_CLOSE_THE_ASSISTANT = """
[...document.querySelectorAll('button')].filter((button) => {
  const at = button.getBoundingClientRect();
  return at.x > 1380 && at.y < 60;
}).forEach((button) => button.click())
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", required=True)
    parser.add_argument("--profile", default="generated")
    parser.add_argument("--tracking-uri", required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    if not CHROMIUM.is_file():
        print(f"error: {CHROMIUM} is not there; install Chromium", file=sys.stderr)
        return 2
    report = given.out / "report.html"
    if not report.is_file():
        print(f"error: {report} is not there; make it with `python -m analysis report --out {given.out}`", file=sys.stderr)
        return 2
    experiment = MlflowClient(given.tracking_uri).get_experiment_by_name(f"{given.space}.{given.profile}")
    if experiment is None:
        print(f"error: {given.tracking_uri} has no study {given.space}.{given.profile}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder, _server(given.tracking_uri, Path(folder)) as address:
        browser = Browser(Path(folder))
        try:
            browser.resize(WIDTH, REPORT_HEIGHT)
            browser.open(report.resolve().as_uri())
            _take(browser, given.out / "report.png")
            browser.resize(WIDTH, HEIGHT)
            browser.open(address + view_of(experiment.experiment_id))
            browser.wait("document.querySelectorAll('.js-plotly-plot').length > 1", _START_SECONDS)
            browser.evaluate(_CLOSE_THE_ASSISTANT)
            time.sleep(_DRAWN_SECONDS)
            _take(browser, given.out / "mlflow.png")
        finally:
            browser.close()
    return 0


def _take(browser: Browser, path: Path) -> None:
    """The window in 128 colours, as pictures in a repository should be small."""
    browser.screenshot(path, whole=False)
    Image.open(path).convert("RGB").quantize(128).save(path, optimize=True)


@contextmanager
def _server(tracking_uri: str, folder: Path) -> Iterator[str]:
    """The address of MLflow's interface."""
    (port,) = free_ports(1)
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", tracking_uri, "--port", str(port), "--workers", "1"]
    with (folder / "mlflow.log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            end = time.monotonic() + _START_SECONDS
            while not answers(f"{address}/health"):
                if process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError((folder / "mlflow.log").read_text()[-2000:])
                time.sleep(0.2)
            yield address
        finally:
            process.terminate()


if __name__ == "__main__":
    sys.exit(main())
