"""One attack in words: its attacker, effort and further figures, and its curve as a picture."""

from __future__ import annotations

import math
from collections.abc import Mapping

import matplotlib

from analysis import text
from analysis.read.attacks import AttackRecord
from analysis.report.drawing import GREY, PALETTE, STYLE, canvas, image_uri
from trainables.attacks.shared.assets import ASSETS, lacking
from trainables.schema import AP, AP_CHANCE

_CONVERGED = {
    True: " In the end more effort gained little.",
    False: " Not converged: it was still learning when it was stopped.",
    None: " Whether it had converged is not known.",
}

_OTHERS = {
    "rank1": "the most similar clip shows the same person in {:.1%} of searches",
    "eer": "{:.1%} error where false matches and missed ones are equally frequent (guessing 50 %)",
    "top1": "the right one of all named in {:.1%} of test items",
    "frames_with_a_face": "{:.1%} of frames with a face",
    "clips_with_a_face": "{:.1%} of test clips with a face in some frame",
    "frames_with_text": "{:.1%} of frames with text that can be read",
    "clips_with_text": "{:.1%} of test clips with such text in some frame",
    "frames_with_people": "{:.1%} of frames with somebody in them",
    "clips_with_people": "{:.1%} of test clips with somebody in some frame",
    "frames_all_right": "{:.1%} of frames in which every attribute is read rightly",
    "clips_all_right": "{:.1%} of test clips with such a frame",
    "all_right_by_guess": "{:.1%} of test clips of which a guesser would say as much in every frame",
    "psnr": "likeness of restored to raw frames {:.1f} dB (PSNR; above about 30 they look alike)",
    "ssim": "structural likeness of restored to raw frames {:.2f} (SSIM; 1 is the same)",
    "psnr_anonymized": "likeness of anonymized to raw frames {:.1f} dB (PSNR)",
    "ssim_anonymized": "structural likeness of anonymized to raw frames {:.2f} (SSIM)",
}


def attacker(attack: AttackRecord) -> str:
    """What the attacker had and what it had not, in words."""
    if attack.has is None:
        return "What it had is not recorded."
    lacks = text.listed(ASSETS[asset].name for asset in lacking(attack.has))
    had = "; ".join(ASSETS[asset].had for asset in attack.has) or "has nothing but the anonymized video"
    return f"It {had}.{f' It had none of: {lacks}.' if lacks else ''}"


def effort(attack: AttackRecord) -> str:
    """What the attacker spent, in words."""
    known = {
        "epochs": "passes over the training examples (epochs)",
        "items": "training examples",
        "parameters": "adjustable numbers (parameters)",
        "seconds": "seconds of computing",
    }
    told = [f"{known.get(name, text.words(name))}: {round(value, 1):,.10g}" for name, value in attack.effort.items() if value]
    rest = _CONVERGED[attack.converged]
    return f"{'; '.join(told) or 'not recorded'}.{rest}"


def others(attack: AttackRecord) -> list[str]:
    """Further figures of an attack in words, those that have words; all others are in evidence.json alone."""
    found = []
    for name, value in attack.others.items():
        base, _, where = name.rpartition("_")
        if f"{name}_ordinary" in attack.others:
            continue
        if name in _OTHERS:
            found.append(_OTHERS[name].format(value))
        elif where in ("ordinary", "anonymized") and base in _OTHERS:
            found.append(f"among {where} clips: {_OTHERS[base].format(value)}")
    return found


def precisions(attack: AttackRecord) -> dict[str, tuple[float, float]]:
    """By attribute the average precision of an attack and that of a guesser."""
    return {
        name.removeprefix(AP): (value, attack.others.get(AP_CHANCE + name.removeprefix(AP), math.nan))
        for name, value in attack.others.items()
        if name.startswith(AP)
    }


def of_attributes(read: Mapping[str, tuple[float, float]]) -> str:
    """Average precisions of attributes, each beside that of a guesser, in words."""
    return "; ".join(
        f"{text.words(name)} {_percent(value)} (guessing {_percent(guess)})" for name, (value, guess) in read.items()
    )


def curve(attack: AttackRecord) -> str:
    """The data URI of a picture of leakage against effort; empty for fewer than two points."""
    if len(attack.curve) < 2:
        return ""
    with matplotlib.rc_context(STYLE):
        figure = canvas((3.6, 2.2))
        axes = figure.subplots()
        effort, leakage = zip(*attack.curve, strict=True)
        axes.plot(effort, [100 * value for value in leakage], marker="o", ms=3, color=PALETTE[0])
        axes.axhline(0, color=GREY, ls=":", lw=1)
        axes.set(
            xlabel=f"effort ({attack.effort_unit})", ylabel="learned beyond guessing %", ylim=(min(-5, 110 * min(leakage)), 105)
        )
        return image_uri(figure)


def _percent(value: float) -> str:
    return text.percent(value, unknown="not known")
