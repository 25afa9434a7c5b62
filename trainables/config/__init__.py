"""The configuration of one trial: frozen, typed, validated when made, and importable without torch.

The defaults are the recipe of the paper (section 4.2 and, where it is silent, the authors' released parameters). Every field
of `TrialConfig` can change a trial's numbers, but for `data.decoder`; where a trial runs, on what and how fast is `Runtime`.
"""

from trainables.config.base import DATA_ROOT_VARIABLE, STORAGE_VARIABLE, ConfigError, Frozen, VisibleOptions
from trainables.config.data import (
    ActionData,
    AugmentConfig,
    ClipConfig,
    Contents,
    DataConfig,
    Decoder,
    PrivacyData,
    TestPrivacyData,
)
from trainables.config.evaluation import AttacksConfig, EvaluateActionConfig, EvaluatePrivacyConfig
from trainables.config.keys import flatten, is_field, load_trial, parse_setting, value_of, with_values
from trainables.config.networks import AnonymizerConfig, NetworkConfig, ObfuscationConfig
from trainables.config.runtime import Runtime
from trainables.config.training import MinimaxConfig, ReconstructConfig, WarmUpConfig
from trainables.config.trial import Departures, TrialConfig

__all__ = [
    "DATA_ROOT_VARIABLE",
    "STORAGE_VARIABLE",
    "ActionData",
    "AnonymizerConfig",
    "AttacksConfig",
    "AugmentConfig",
    "ClipConfig",
    "ConfigError",
    "Contents",
    "DataConfig",
    "Decoder",
    "Departures",
    "EvaluateActionConfig",
    "EvaluatePrivacyConfig",
    "Frozen",
    "MinimaxConfig",
    "NetworkConfig",
    "ObfuscationConfig",
    "PrivacyData",
    "ReconstructConfig",
    "Runtime",
    "TestPrivacyData",
    "TrialConfig",
    "VisibleOptions",
    "WarmUpConfig",
    "flatten",
    "is_field",
    "load_trial",
    "parse_setting",
    "value_of",
    "with_values",
]
