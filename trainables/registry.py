"""Named things: refuses duplicates, and answers a wrong name with the list of right ones."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterator
from typing import ClassVar, Generic, TypeVar

from trainables.config import ConfigError

T = TypeVar("T")


class Registry(Generic[T]):
    """Name -> entry. Which module registered a name is remembered: see `origins`."""

    _modules: ClassVar[dict[str, set[str]]] = {}

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator. Raises ValueError if `name` is taken."""
        caller = sys._getframe(1).f_globals.get("__name__", "")

        def add(entry: T) -> T:
            if name in self._entries:
                raise ValueError(f"{self.kind} {name!r} is registered twice; choose another name")
            self._entries[name] = entry
            Registry._modules.setdefault(name, set()).add(caller)
            return entry

        return add

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
