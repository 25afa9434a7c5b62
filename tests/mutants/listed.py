"""The mutants: those written by hand, with the tests that kill them, and a sample of those that cosmic-ray's operators make."""

from __future__ import annotations

import random
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import ROOT

LISTS = Path(__file__).parent / "lists"
MECHANICAL = Path(__file__).parent / "mechanical.toml"
# One change that a person would make by mistake for each kind of expression; the others of cosmic-ray are the same again.
_OPERATORS = (
    *(f"ReplaceBinaryOperator_{kind}" for kind in ("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "Pow_Mul", "Mod_FloorDiv")),
    *(f"ReplaceBinaryOperator_{kind}" for kind in ("FloorDiv_Mul", "BitAnd_BitOr")),
    *(f"ReplaceComparisonOperator_{kind}" for kind in ("Lt_LtE", "LtE_Lt", "Gt_GtE", "GtE_Gt", "Lt_GtE", "Gt_LtE")),
    *(f"ReplaceComparisonOperator_{kind}" for kind in ("Eq_NotEq", "NotEq_Eq", "Is_IsNot", "IsNot_Is")),
    *(f"ReplaceUnaryOperator_{kind}" for kind in ("USub_UAdd", "Delete_Not")),
    *("ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceAndWithOr", "ReplaceOrWithAnd", "NumberReplacer", "AddNot"),
)
_NO_BEHAVIOUR = ("@dataclass(", "if TYPE_CHECKING", "version")
# Lines of which an operator makes what Python cannot read, such as `{*values, 1: 2}` and `if not a := b:`.
_NO_CODE = {"ReplaceBinaryOperator_Pow_Mul": re.compile(r"(^|[{,])\s*\*\*"), "AddNot": re.compile(":=")}


@dataclass(frozen=True)
class Mutant:
    """A change of one file.

    area: the part of the project, for the table. old: text that is in `file` exactly once. tests: files or node ids, of
    which at least one test must fail. lives: why no test notices it, where none can or need.
    """

    name: str
    area: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    lives: str = ""

    def source(self, root: Path = ROOT) -> str:
        """The mutated file. Raises ValueError where `old` is not there exactly once."""
        text = (root / self.file).read_text()
        if text.count(self.old) != 1:
            raise ValueError(
                f"{self.name}: {self.file} has its old text {text.count(self.old)} times, not once; adjust the list"
            )
        return text.replace(self.old, self.new)


@dataclass(frozen=True)
class Mechanical:
    """A file with the change that an operator makes at one of the places where it can."""

    name: str
    area: str
    file: str
    operator: str
    occurrence: int
    tests: tuple[str, ...]
    lives: str = ""

    def source(self, root: Path = ROOT) -> str:
        from cosmic_ray.mutating import mutate_code
        from cosmic_ray.plugins import get_operator

        mutated = mutate_code((root / self.file).read_text(), get_operator(f"core/{self.operator}")(), self.occurrence)
        if mutated is None:
            raise ValueError(f"{self.name}: {self.operator} has no place number {self.occurrence} in {self.file}")
        return str(mutated)


def semantic() -> list[Mutant]:
    """Those written by hand, by area."""
    return [Mutant(**_tuples(entry), area=path.stem) for path in sorted(LISTS.glob("*.toml")) for entry in _entries(path)]


def mechanical(share: float = 1.0) -> list[Mechanical]:
    """A sample of every file of `mechanical.toml`, the same in every call; `share` of it, the first ones."""
    return [mutant for entry in _entries(MECHANICAL) for mutant in _sampled(share=share, **_tuples(entry))]


def _sampled(area: str, file: str, tests: tuple[str, ...], count: int, share: float, lives: Any = None) -> list[Mechanical]:
    reasons: dict[str, str] = lives or {}
    places = sorted(_places((ROOT / file).read_text()))
    random.Random(file).shuffle(places)
    return [
        Mechanical(f"{file}:{line} {operator} {occurrence}", area, file, operator, occurrence, tests, reasons.get(text, ""))
        for line, operator, occurrence, text in places[: max(1, round(share * count))]
    ]


def _places(source: str) -> Iterator[tuple[int, str, int, str]]:
    """Line, operator, number of the place, and the line of code with the operator, for all changes that can be made."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.plugins import get_operator

    lines = source.splitlines()
    nodes = list(ast_nodes(get_ast(source)))
    for name in _OPERATORS:
        operator = get_operator(f"core/{name}")()
        positions = [position for node in nodes for position in operator.mutation_positions(node)]
        for occurrence, ((line, _), _) in enumerate(positions):
            text = lines[line - 1].strip()
            if text.startswith(_NO_BEHAVIOUR) or (name in _NO_CODE and _NO_CODE[name].search(text)):
                continue
            yield line, name, occurrence, f"{name}: {text}"


def _entries(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tomllib.loads(path.read_text())["mutant"]
    return found


def _tuples(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
