"""Singling out and linking one of N people: the curves of each search for people in words, as a table and as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib

from analysis import text
from analysis.read.attacks import AttackRecord
from analysis.report.drawing import GREY, PALETTE, STYLE, canvas, image_uri, legend_below
from analysis.report.evidence.short import LinkedLine, section_of
from analysis.report.page import Picture, Table
from trainables.attacks.shared.people_at_risk import Risk, RiskPoint

_RISKS: tuple[Risk, ...] = ("singling out", "linkability")
_VIDEOS = {"anonymized": ("-", "o"), "raw": ("--", "s"), "blank": (":", "^")}  # line and mark of each
_CLIPS = {"anonymized": PALETTE[0], "raw": PALETTE[1], "blank": GREY}


@dataclass(frozen=True)
class RiskCurve:
    """How often one of N people is singled out or linked (`risk`) by an attack (`attack` in words, `by` its name), against N.

    `video`: anonymized, raw or blank. `clips`: of each person. `valid`: whether the controls of the attack held.
    """

    attack: str
    by: str
    valid: bool
    risk: Risk
    video: str
    clips: int
    points: Sequence[RiskPoint]


def risk_curves(attacks: Sequence[AttackRecord]) -> list[RiskCurve]:
    """The curves of all attacks that recorded some, those of singling out first, those of anonymized video first."""
    return [
        RiskCurve(
            attack.title,
            attack.name,
            attack.valid,
            risk,
            video,
            clips,
            [point for point in points if (point.risk, point.clips) == (risk, clips)],
        )
        for attack in attacks
        for risk in _RISKS
        for video, points in sorted(attack.people_at_risk.items(), key=lambda item: list(_VIDEOS).index(item[0]))
        for clips in sorted({point.clips for point in points if point.risk == risk})
    ]


def sentences(curves: Sequence[RiskCurve]) -> list[LinkedLine]:
    """What each curve of anonymized video says where most people are compared, beside guessing and raw video."""
    found = []
    for curve in curves:
        if curve.video != "anonymized":
            continue
        point = curve.points[-1]
        done = "singles out exactly one" if curve.risk == "singling out" else "links the right one"
        raw = [each for other in _beside(curve, curves, "raw") for each in other.points if each.among == point.among]
        invalid = "" if curve.valid else " (INVALID: a control of this attack missed its level)"
        told = (
            f"{curve.attack}{invalid}: with {text.counted(curve.clips, 'anonymized clip')} of each it {done} of {point.among}"
            f" people in {_shown(point)}; without any knowledge {text.percent(point.chance)}"
            f"{''.join(f'; from raw video {_shown(each)}' for each in raw)}."
        )
        found.append(LinkedLine(told, section_of(curve.by)))
    return found


def table(curves: Sequence[RiskCurve]) -> Table:
    """Every point of the curves of anonymized video, a row each, beside the same on raw video and without knowledge."""
    rows, how = [], []
    for curve in curves:
        if curve.video != "anonymized":
            continue
        for point in curve.points:
            raw = [each for other in _beside(curve, curves, "raw") for each in other.points if each.among == point.among]
            rows.append(
                [
                    f"{curve.risk}, {text.counted(curve.clips, 'clip')} of each, one of {point.among} ({curve.attack})",
                    text.interval(point),
                    text.interval(raw[0]) if raw else text.DASH,
                    text.number(100 * point.chance),
                    str(point.people),
                ]
            )
            how.append(section_of(curve.by))
    columns = ("risk", "anonymized % (95 % interval)", "raw % (95 % interval)", "without knowledge %", "people searched for")
    return Table("One person among N, every figure", columns, rows, narrow=True, how=how)


def pictures(curves: Sequence[RiskCurve]) -> list[Picture]:
    """The curves of each attack over N, one panel a risk: from one clip of each person, and from most clips."""
    found = []
    for attack in dict.fromkeys(curve.attack for curve in curves):
        own = [curve for curve in curves if curve.attack == attack]
        risks = [risk for risk in _RISKS if any(curve.risk == risk for curve in own)]
        named: set[str] = set()
        with matplotlib.rc_context(STYLE):
            figure = canvas((3.7 * len(risks), 3.2))
            for axes, risk in zip(figure.subplots(1, len(risks), squeeze=False)[0], risks, strict=True):
                of_risk = [curve for curve in own if curve.risk == risk]
                most = max(curve.clips for curve in of_risk)
                for curve in (curve for curve in of_risk if curve.clips in (1, most)):
                    style, marker = _VIDEOS[curve.video]
                    name = f"{curve.video}, {text.counted(curve.clips, 'clip')} of each"
                    label = None if name in named else name
                    named.add(name)
                    among, low, high = ([getattr(point, part) for point in curve.points] for part in ("among", "low", "high"))
                    axes.plot(
                        among,
                        [100 * point.value for point in curve.points],
                        ls=style,
                        marker=marker,
                        ms=3,
                        color=_CLIPS[curve.video],
                        alpha=1.0 if curve.clips == 1 else 0.5,
                        label=label,
                    )
                    if curve.video == "anonymized":
                        axes.fill_between(
                            among,
                            [100 * value for value in low],
                            [100 * value for value in high],
                            color=_CLIPS[curve.video],
                            alpha=0.15,
                            lw=0,
                        )
                chances = {point.among: 100 * point.chance for curve in of_risk for point in curve.points}
                axes.plot(
                    sorted(chances),
                    [chances[among] for among in sorted(chances)],
                    color=GREY,
                    lw=1,
                    label="without knowledge" if risk == risks[0] else None,
                )
                axes.set(title=risk, xscale="log", xlabel="people N", ylabel="probability %", ylim=(-3, 103))
                axes.set_xticks(sorted(chances), labels=[str(among) for among in sorted(chances)])  # plain: no mathtext is read
                axes.minorticks_off()
            legend_below(figure)
            uri = image_uri(figure)
        caption = "how often one of N people is singled out, or linked; shaded: 95 % interval; N on a logarithmic scale"
        found.append(Picture(uri, f"{attack}: {caption}", caption, attack))
    return found


def _beside(curve: RiskCurve, curves: Sequence[RiskCurve], video: str) -> list[RiskCurve]:
    same = (curve.attack, curve.risk, curve.clips)
    return [other for other in curves if other.video == video and (other.attack, other.risk, other.clips) == same]


def _shown(point: RiskPoint) -> str:
    return text.percent_interval(point.value, point.low, point.high)
