"""One attack in words: its result, effort and further figures, and its curve as a picture."""

from __future__ import annotations

import math

import matplotlib

from analysis import text
from analysis.read.attacks import AttackRecord
from analysis.report.drawing import GREY, PALETTE, STYLE, canvas, image_uri
from trainables.attacks.shared.assets import ASSETS, lacking

_CONVERGED = {
    True: " In the end more effort gained little.",
    False: " Not converged: it was still learning when it was stopped.",
    None: " Whether it had converged is not known.",
}

_OTHERS = {
    "rank1": "the most similar clip shows the same person in {:.1%} of searches",
    "map": "clips of the same person come first to {:.1%} (mean average precision)",
    "eer": "{:.1%} error where false matches and missed ones are equally frequent (guessing 50 %)",
    "macro_f1": "F1 score {:.2f}, mean over attributes",
    "frames_all_right": "{:.1%} of frames in which every attribute is read rightly",
    "clips_all_right": "{:.1%} of test clips with such a frame",
    "all_right_by_guess": "{:.1%} of test clips of which a guesser would say as much in every frame",
    "psnr": "likeness of restored to raw frames {:.1f} dB (PSNR; above about 30 they look alike)",
    "ssim": "structural likeness of restored to raw frames {:.2f} (SSIM; 1 is the same)",
    "psnr_anonymized": "likeness of anonymized to raw frames {:.1f} dB (PSNR)",
    "ssim_anonymized": "structural likeness of anonymized to raw frames {:.2f} (SSIM)",
}


def verdict(attack: AttackRecord) -> str:
    """The result of the attack in a sentence."""
    if not attack.valid:
        return "These figures are INVALID: a control missed its level. They say nothing about the anonymizer."
    learned = f"learned {text.percent_interval(attack.leakage, attack.low, attack.high)} of what can be learned beyond guessing"
    if attack.low <= 0 <= attack.high:
        return f"The attacker {learned}: on these test items it cannot be told from guessing."
    return f"The attacker {learned}; from raw video the same attacker learned {learned_from_raw(attack)}."


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
    """Further figures of an attack in words; the average precision of an attribute stands beside its chance level."""
    found = []
    for name, value in attack.others.items():
        base, _, where = name.rpartition("_")
        if name.startswith("ap_chance.") or f"{name}_ordinary" in attack.others:
            continue
        if name.startswith("ap."):
            chance = attack.others.get(f"ap_chance.{name[3:]}", math.nan)
            found.append(f"{name[3:]} {_percent(value)} (guessing {_percent(chance)})")
        elif name in _OTHERS:
            found.append(_OTHERS[name].format(value))
        elif where in ("ordinary", "anonymized") and base in _OTHERS:
            found.append(f"among {where} clips: {_OTHERS[base].format(value)}")
        else:
            found.append(f"{text.words(name)} {value:.3g}")
    return found


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


def learned_from_raw(attack: AttackRecord) -> str:
    """What the same attack learned from raw video, with its interval."""
    return text.percent_interval(attack.positive.leakage, attack.positive.low, attack.positive.high)


def _percent(value: float) -> str:
    return text.percent(value, unknown="not known")
