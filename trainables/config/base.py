"""What every part of a configuration is made of: frozen pydantic models, bounded numbers, and the one error."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
Count = Annotated[int, Field(ge=1)]
Epochs = Annotated[int, Field(ge=0)]
DATA_ROOT_VARIABLE, STORAGE_VARIABLE = "ANONYMIZATION_DATA_ROOT", "ANONYMIZATION_STORAGE"


class ConfigError(ValueError):
    """A configuration that cannot be run; the message is one line that says what, where and what to do."""


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
