"""For whom the anonymizer works worst: groups of test items, each beside all others, in words and as a table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from analysis import text
from analysis.measure.groups import UTILITY, GroupFigure
from analysis.report.evidence.findings import EVALUATORS
from analysis.report.evidence.short import LinkedLine, section_of
from analysis.report.page import Table
from trainables.schema import ATTACK
from trainables.statistics import LEAST_GROUPS

_MOST_NAMED, _MOST_ROWS = 5, 40
_NOBODY_ALONE = f"No single person was compared: nobody has the {LEAST_GROUPS} test items that it takes."
_CAPTION = (
    "Each group beside all other test items, the largest differences first: the utility and the strongest attacker, and of the"
    " other attackers the groups that are surely protected worse; of the two values of an attribute the one that is worse off."
    " Differences in points, with intervals that hold together for all groups."
)
_COLUMNS = ("group", "of what", "the group % (95 % interval)", "all others %", "difference (together 95 %)", "test items")


def in_short(figures: Sequence[GroupFigure], attributes_are_people: bool = False) -> str:
    """One or two sentences for the top of the page; nothing where no predictions by test item were kept."""
    if not figures:
        return ""
    compared = {each.group for each in figures if not each.lacking}
    if not compared:
        return "Whether it works worse for some people than for others is not known: no group has enough test items."
    by_person = attributes_are_people or any(each.kind == "person" and not each.lacking for each in figures)
    alone = "" if by_person else f" {_NOBODY_ALONE}"
    served, hidden = _named(figures)
    if not (served or hidden):
        return (
            f"Of {text.counted(len(compared), 'group')} compared, none is surely served or protected worse than the others;"
            f" {_unseen(figures)}.{alone}"
        )
    parts = [
        f"{words}: {text.listed(dict.fromkeys(_name(each) for each in named), _MOST_NAMED)}"
        for words, named in (("served worse", served), ("protected worse", hidden))
        if named
    ]
    return (
        f"Of {text.counted(len(compared), 'group')} compared, some are surely worse off than the others;"
        f" {'; '.join(parts)}.{alone}"
    )


def sentences(figures: Sequence[GroupFigure], titles: Mapping[str, str], too_few: Mapping[str, int]) -> list[LinkedLine]:
    """What is known of each measure, the utility and the strongest attacker first. titles: of the attacks, by name."""
    found = []
    for measure in dict.fromkeys(each.measure for each in sorted(figures, key=lambda each: not each.main)):
        own = [each for each in figures if each.measure == measure]
        at = section_of_measure(measure)
        found.append(LinkedLine(_of_measure(measure_words(measure, titles), own), at))
    if few := max(too_few.values(), default=0):
        found.append(
            LinkedLine(f"People or sources that are not compared, as each has fewer than {LEAST_GROUPS} test items: {few}.")
        )
    return found


def table(figures: Sequence[GroupFigure], titles: Mapping[str, str]) -> Table:
    known = [each for each in figures if (each.main or each.worse) and not math.isnan(each.difference.value)]
    # of the two values of an attribute the one that is worse off: the other row has the same with the signs changed
    shown = [each for each in known if each.kind == "person" or _disadvantage(each) >= 0]
    shown.sort(key=lambda each: (each.measure != UTILITY, not each.main, each.measure, -_disadvantage(each)))
    rows = [
        [
            _name(each) + (" (surely worse)" if each.worse else ""),
            measure_words(each.measure, titles),
            text.interval(each.own),
            text.interval(each.rest),
            text.interval(each.difference, signed=True),
            str(each.own.items),
        ]
        for each in shown
    ]
    more = f" {len(rows) - _MOST_ROWS} further rows are in evidence.json." if len(rows) > _MOST_ROWS else ""
    how = [section_of_measure(each.measure) for each in shown[:_MOST_ROWS]]
    return Table(_CAPTION + more, _COLUMNS, rows[:_MOST_ROWS], narrow=True, how=how)


def section_of_measure(measure: str) -> str:
    """The id of the part of the page on a measure, that of utility or of an attacker."""
    return "utility" if measure == UTILITY else section_of(measure.removeprefix(ATTACK))


def _of_measure(what: str, figures: Sequence[GroupFigure]) -> str:
    known = [each for each in figures if not each.lacking]
    undefined = [each for each in figures if each.lacking]
    reasons = text.listed(dict.fromkeys(each.lacking for each in undefined), 3)
    if not known:
        return f"{text.sentence(what)}: no group can be told from the others ({reasons})."
    worst = max(known, key=_disadvantage)
    named = [each for each in known if each.worse]
    if named:
        listed = "; ".join(_beside(each) for each in sorted(named, key=_disadvantage, reverse=True)[:_MOST_NAMED])
        more = f"; and {len(named) - _MOST_NAMED} more, in evidence.json" if len(named) > _MOST_NAMED else ""
        found = f"{text.sentence(what)}: surely worse than the others are {listed}{more}."
    else:
        found = (
            f"{text.sentence(what)}: no group is surely worse than the others; {_unseen(known)}. Worst on these test items is"
            f" {_beside(worst)}."
        )
    if undefined:
        found += f" Not compared: {text.listed(map(_name, undefined), _MOST_NAMED)} ({reasons})."
    return found


def _unseen(figures: Iterable[GroupFigure]) -> str:
    """How much is left open: half the widest interval of a difference, in points."""
    half = max((each.difference.high - each.difference.low) / 2 for each in figures if not each.lacking)
    return f"a difference of up to {text.number(100 * half, 0)} points would not have been seen"


def _beside(each: GroupFigure) -> str:
    own, rest = (text.percent_interval(side.value, side.low, side.high) for side in (each.own, each.rest))
    return f"{_name(each)} with {own} beside {rest}"


def _named(figures: Iterable[GroupFigure]) -> tuple[list[GroupFigure], list[GroupFigure]]:
    """Those that are surely served worse, and those that are surely protected worse."""
    worse = [each for each in figures if each.worse]
    return [each for each in worse if each.measure == UTILITY], [each for each in worse if each.measure != UTILITY]


def _disadvantage(each: GroupFigure) -> float:
    return -each.difference.value if each.measure == UTILITY else each.difference.value


def _name(each: GroupFigure) -> str:
    return f"“{text.words(each.group) if each.kind == 'attribute' else each.group}”"


def measure_words(measure: str, titles: Mapping[str, str]) -> str:
    """What a figure is of. titles: of the attacks, by name."""
    if measure == UTILITY:
        return "the right action is recognised"
    if title := EVALUATORS.get(measure):
        return f"learned by {title[:1].lower()}{title[1:]}"
    return f"learned by {titles.get(measure.removeprefix(ATTACK), measure)}"
