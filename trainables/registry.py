"""Named things: refuses duplicates, and answers a wrong name with the list of right ones."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Callable, Iterator
from typing import ClassVar, Generic, TypeVar

from trainables.config import ConfigError

T = TypeVar("T")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


class Registry(Generic[T]):
    """Name -> entry. Who registered a name is remembered: see `origins` and `where`."""

    _modules: ClassVar[dict[str, set[str]]] = {}

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}
        self._places: dict[str, str] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator. Raises ConfigError if `name` is taken, or holds what no file name and no key of a record can."""
        caller = sys._getframe(1)
        module, place = caller.f_globals.get("__name__", ""), f"{caller.f_code.co_filename} line {caller.f_lineno}"
        if not _NAME.fullmatch(name):
            raise ConfigError(f"{self.kind} {name!r}: a name has letters, digits, '_', '-' and '.' only; choose another")

        def add(entry: T) -> T:
            if name in self._entries:
                there = f", first in {self.where(name)}" if self.where(name) else ""
                raise ConfigError(f"{self.kind} {name!r} is registered twice{there}; choose another name")
            self._entries[name], self._places[name] = entry, place
            Registry._modules.setdefault(name, set()).add(module)
            return entry

        return add

    def where(self, name: str) -> str:
        """`FILE line N`: where `name` was registered; empty if it is not known."""
        return self._places.get(name, "") if name in self._entries else ""

    @staticmethod
    def origins(name: str) -> frozenset[str]:
        """The modules that registered `name`, in whatever registry."""
        return frozenset(Registry._modules.get(name, ()))

    def __getitem__(self, name: str) -> T:
        if name not in self._entries:
            near = difflib.get_close_matches(name, self._entries, n=1)
            hint = f" (nearest: {near[0]})" if near else ""
            raise ConfigError(f"no {self.kind} named {name!r}{hint}; there are: {', '.join(sorted(self._entries))}")
        return self._entries[name]

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))
