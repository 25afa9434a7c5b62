"""What every part of a configuration is made of: frozen pydantic models, bounded numbers, and the one error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
Count = Annotated[int, Field(ge=1)]
Epochs = Annotated[int, Field(ge=0)]
DATA_ROOT_VARIABLE, STORAGE_VARIABLE = "ANONYMIZATION_DATA_ROOT", "ANONYMIZATION_STORAGE"


class ConfigError(ValueError):
    """A configuration that cannot be run; the message is one line that says what, where and what to do."""


class Frozen(BaseModel):
    """A part of a configuration. A stage is given one that holds only the fields in its key, see `only`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    _reader: str = PrivateAttr(default="")  # who was given this, where it holds a part of its fields only
    _path: str = PrivateAttr(default="")

    def only(self, tree: Mapping[str, Any], reader: str, path: str = "") -> Self:
        """A copy that holds the fields in `tree` and no others; a mapping in it names those to keep of a group.

        Reading any other field of the copy raises ConfigError, which names `reader`, the field and where to declare it.
        """
        copy = self.model_copy()
        copy.__dict__.clear()
        for name, kept in tree.items():
            value = self.__dict__[name]
            if isinstance(kept, Mapping) and isinstance(value, Frozen):
                value = value.only(kept, reader, f"{path}{name}.")
            copy.__dict__[name] = value
        copy._reader, copy._path = reader, path
        return copy

    if not TYPE_CHECKING:  # mypy shall still refuse names that no part has

        def __getattr__(self, name: str) -> Any:
            if name in type(self).model_fields:
                raise undeclared(self._reader, self._path + name)
            return super().__getattr__(name)


def undeclared(reader: str, field: str) -> ConfigError:
    """The error of a stage that reads a field of the config which its key does not hold."""
    return ConfigError(
        f"{reader} reads {field}, which is not in its key, so that changing it would repeat old figures; add {field!r} to the"
        " `fields` of the stage"
    )


OptionValue = bool | int | float | str


class VisibleOptions(dict[str, OptionValue]):
    """The options of a method that a stage may read. Another one that the method has raises ConfigError."""

    def __init__(self, values: Mapping[str, OptionValue], hidden: frozenset[str], reader: str) -> None:
        super().__init__(values)
        self.hidden, self.reader = hidden, reader

    def __missing__(self, name: str) -> OptionValue:
        if name in self.hidden:
            raise undeclared(self.reader, f"options.{name}")
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or (name in self.hidden and self.__missing__(str(name)) is not None)

    def get(self, name: str, default: Any = None) -> Any:
        return super().get(name, default) if name in self else default
