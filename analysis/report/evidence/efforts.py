"""Whether a stronger attacker of the same kind would learn more: leakage against effort, in words and as a picture."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib

from analysis import text
from analysis.measure.effort import EffortCurve
from analysis.read.attacks import AttackRecord
from analysis.report.drawing import GREY, PALETTE, STYLE, canvas, image_uri

_STOPPED = {
    True: "By the rule of this project it has stopped growing.",
    False: "It is STILL GROWING: with more effort this attacker would probably learn more.",
    None: "Whether it has stopped growing is not known.",
}


def sentence(curves: Sequence[EffortCurve], attack: AttackRecord) -> str:
    """What is known of other efforts of an attack; empty where it was tried with one only."""
    curve = _of(curves, attack)
    if curve is None:
        return ""
    told = "; ".join(
        f"{text.percent_interval(point.sure.value, point.sure.low, point.sure.high)} with {point.epochs} passes"
        f"{'' if point.valid else ' (INVALID: a control missed its level)'}"
        for point in curve.points
    )
    gained = curve.gained
    step = (
        ""
        if gained is None
        else f" The last step of effort added {text.percent_interval(gained.value, gained.low, gained.high)}."
    )
    return f"Swept: it learned {told}.{step} {_STOPPED[curve.stopped]}"


def not_swept(curves: Sequence[EffortCurve], attacks: Sequence[AttackRecord]) -> list[AttackRecord]:
    """The attacks that train and were tried with one effort only."""
    return [attack for attack in attacks if attack.effort.get("epochs") and _of(curves, attack) is None]


def picture(curves: Sequence[EffortCurve], attack: AttackRecord) -> str:
    """The data URI of a picture of leakage against effort, with intervals; empty where the effort was not swept."""
    curve = _of(curves, attack)
    if curve is None:
        return ""
    epochs = [point.epochs for point in curve.points]
    with matplotlib.rc_context(STYLE):
        figure = canvas((3.6, 2.2))
        axes = figure.subplots()
        axes.plot(epochs, [100 * point.sure.value for point in curve.points], marker="o", ms=3, color=PALETTE[0])
        low, high = ([100 * getattr(point.sure, end) for point in curve.points] for end in ("low", "high"))
        axes.fill_between(epochs, low, high, color=PALETTE[0], alpha=0.15, lw=0)
        axes.axhline(0, color=GREY, ls=":", lw=1)
        axes.set(xscale="log", xlabel="effort (epochs)", ylabel="learned beyond guessing %", ylim=(-5, 105))
        axes.set_xticks(epochs, labels=[str(each) for each in epochs])  # plain: no mathtext is read
        axes.minorticks_off()
        return image_uri(figure)


def _of(curves: Sequence[EffortCurve], attack: AttackRecord) -> EffortCurve | None:
    return next((curve for curve in curves if curve.attack == attack.name), None)
