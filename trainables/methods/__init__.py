"""Methods by name: how an anonymizer is trained, or made without training. Declared without importing torch.

Every module and package in this folder is imported when this one is, and registers its methods in METHODS. A method names the
stages that train it, the fields of the trial that it fixes, and its options. The evaluation is the same for all methods.
"""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, ValidationInfo, field_validator

from trainables.config import ConfigError, Frozen, TrialConfig, VisibleOptions, is_field, value_of, with_values
from trainables.registry import Registry
from trainables.stages import ANONYMIZER, BEFORE, Stage

Values = Mapping[str, Any]
Weight = Annotated[float, Field(ge=0.0)]
Count = Annotated[int, Field(ge=1)]
CountOrNone = Annotated[int, Field(ge=0)]


class MethodOptions(Frozen):
    """The settings of a method beyond the fields of TrialConfig, each with a default: `options.NAME` of a trial.

    A trial's key holds the values as they were given, so a subclass declares types and limits but converts nothing.
    """

    @classmethod
    def of(cls, config: TrialConfig) -> Self:
        """The options of a trial of this method, typed. Raises ConfigError in one line for a wrong one."""
        try:
            found = cls.model_validate(dict(config.options))
        except ValidationError as error:
            raise ConfigError(_problem(error, cls, config.method)) from None
        if not isinstance(config.options, VisibleOptions) or not config.options.hidden:
            return found
        kept = {name: True for name in cls.model_fields if name not in config.options.hidden}
        return found.only(kept, config.options.reader, "options.")

    @field_validator("*", mode="before")
    @classmethod
    def _no_text_or_bool_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        default = cls.model_fields[str(info.field_name)].default
        if isinstance(value, str) != isinstance(default, str) or isinstance(value, bool) != isinstance(default, bool):
            raise ValueError(f"give a {type(default).__name__}, such as {default!r}")
        return value


@dataclass(frozen=True)
class Method:
    """A way to an anonymizer.

    source: where it was published.
    stages: what trains it, in order.
    anonymizer: the name of the stage whose state holds the trained anonymizer; None if none is trained.
    fixed: dotted fields of TrialConfig that make the method what it is; they win over everything else.
    recipe: fields of its own published recipe; they win over the recipe of this paper and lose to a profile.
    options: the model of its own settings.
    anonymizer_options: the options that a trained anonymizer takes itself (`Anonymizer.configure`): whatever runs it depends on
    them. One that needs no training takes all.
    applied_options: those that it takes once it is trained: the stages that train it do not depend on them.
    boxes: it changes people only, so whoever reads its output needs the boxes of people.
    exchanged: in place of an anonymizer, videos that were anonymized elsewhere are read instead of the originals
    (`data.anonymized`).
    given: its anonymizer is what the file `anonymizer.weights` holds, as it is.
    undivided: why its batches cannot be computed in parts (`microbatch`); empty where they can.
    over_time: what it makes of a frame depends on other frames of the clip, whatever `anonymizer.window` says.
    clip_labels: it learns private attributes from the clips of the action set, which have to carry them.
    continues: of a trial, the one from whose trained networks it goes on: what trains that one is planned as a part of it, and
    a stage reads it as the input `before`. None: it starts from its own stages.
    approximate: in what it differs from what was published under its name, or what is chosen here where nothing was.
    """

    source: str
    stages: tuple[Stage, ...] = ()
    anonymizer: str | None = None
    fixed: Values = field(default_factory=dict)
    recipe: Values = field(default_factory=dict)
    options: type[MethodOptions] = MethodOptions
    anonymizer_options: tuple[str, ...] = ()
    applied_options: tuple[str, ...] = ()
    boxes: bool = False
    given: bool = False
    exchanged: bool = False
    undivided: str = ""
    over_time: bool = False
    clip_labels: bool = False
    continues: Callable[[TrialConfig], TrialConfig] | None = None
    approximate: str = ""

    def __post_init__(self) -> None:
        if not (isinstance(self.options, type) and issubclass(self.options, MethodOptions)):
            raise ConfigError(f"a method with options = {self.options!r}; give a subclass of MethodOptions")
        names = [stage.name for stage in self.stages]
        for number, stage in enumerate(self.stages):
            before = [*names[:number], *([BEFORE] if self.continues is not None else [])]
            if unknown := [name for name in stage.inputs if name not in (*before, ANONYMIZER)]:
                raise ConfigError(
                    f"a method whose stage {stage.name!r} reads {unknown[0]!r}, no stage before it; there are"
                    f" {', '.join(before) or 'none'}"
                )
        if self.anonymizer is not None and self.anonymizer not in names:
            there = ", ".join(names) or "none"
            raise ConfigError(
                f"a method whose anonymizer comes from {self.anonymizer!r}, none of its stages; there are {there}"
            )
        if unknown := [name for name in (*self.fixed, *self.recipe) if not is_field(name)]:
            raise ConfigError(f"a method that sets {unknown[0]!r}, which is no field of a trial; see trainables/config")

    @property
    def training(self) -> tuple[Stage, ...]:
        """The stages that lead to the trained anonymizer; those after it, and all where none is trained, measure something."""
        names = [stage.name for stage in self.stages]
        return self.stages[: names.index(self.anonymizer) + 1] if self.anonymizer is not None else ()


METHODS: Registry[Method] = Registry("method")
_OF_TRAINING = ("anonymizer", "action_classifier", "privacy_encoder", "reconstruct", "warm_up", "minimax")  # an anonymizer


def sees_time(config: TrialConfig) -> bool:
    """Whether what the trial's anonymizer makes of a frame depends on other frames of the clip."""
    method = method_of(config)
    return method.over_time or (method.anonymizer is not None and config.anonymizer.window > 1)


WINDOWED = ("unet", "unetpp")  # anonymizers that take a window, and a dial
OF_DIFFERENCES = ("bdq", "difference", "moving_pixels")  # anonymizers that show nothing of a frame by itself


def method_of(config: TrialConfig) -> Method:
    """Raises ConfigError for an unknown name."""
    return METHODS[config.method]


def is_heard(field: str, config: TrialConfig) -> bool:
    """Whether a dotted field of `config` means anything to its method: raw video has no budget B and trains nothing. All may
    where the method is not known, as that of a plug-in which is not loaded yet.
    """
    if field.partition(".")[0] not in _OF_TRAINING or config.method not in METHODS:
        return True
    method = method_of(config)
    read = {name for stage in method.stages for name in stage.fields} | ({"anonymizer"} if method.given else set())
    return any(field == name or field.startswith(f"{name}.") for name in read)


def resolved(config: TrialConfig) -> TrialConfig:
    """`config` with the fields that its method fixes, all options of the method with their defaults, and the attackers' epochs.

    Raises ConfigError for an option that the method does not have, a value of the wrong type or range, attackers that would
    train less than f_B', a microbatch where the method needs whole batches, differences of images, which have none,
    a window or a dial for an anonymizer that takes none, a dial that nothing turns, or frames that have no differences.
    """
    epochs, least = config.attack_epochs, config.evaluate_privacy.epochs
    if set(config.attacks.names) - {"none"} and epochs < least:
        raise ConfigError(
            f"attacks.epochs = {epochs}: attackers train at least as long as f_B', evaluate_privacy.epochs = {least};"
            f" give {least} or more, or attacks.epochs=null for as many"
        )
    method = method_of(config)
    if config.microbatch is not None and method.undivided:
        raise ConfigError(f"microbatch = {config.microbatch}: not with {config.method}, {method.undivided}; leave it out")
    if config.anonymizer.target == "difference" and config.minimax.pair == "images" and method.anonymizer is not None:
        raise ConfigError(
            "anonymizer.target = difference: an image has no frame before it, and f_B would compare pictures of nothing;"
            " set minimax.pair=frames"
        )
    method.options.of(config)
    options = {**method.options().model_dump(), **config.options}
    own = {f"options.{name}": value for name, value in options.items()}
    wanted = {**method.fixed, **own, "attacks.epochs": epochs}
    found = config if all(_is(config, *one) for one in wanted.items()) else with_values(config, wanted)
    if method.anonymizer is not None:
        _require_network(found)
    if method.over_time and found.anonymizer.name in OF_DIFFERENCES:
        _require_differences(found)
    return found


def _require_network(config: TrialConfig) -> None:
    """Raises ConfigError for a window or a dial that the trained network cannot have, or that nothing turns."""
    name, window, dial = config.anonymizer.name, config.anonymizer.window, config.anonymizer.dial
    of_both = f"{' and '.join(WINDOWED)} do"
    if window > 1 and name not in WINDOWED:
        raise ConfigError(f"anonymizer.window = {window}: {name} takes no window, {of_both}; leave it out")
    turned = bool(method_of(config).applied_options)
    if turned and dial == "none":
        raise ConfigError(f"anonymizer.dial = none: {config.method} trains a dial; give blend, film or plane")
    if dial == "none":
        return
    if name not in WINDOWED:
        raise ConfigError(f"anonymizer.dial = {dial}: {name} takes no dial, {of_both}; leave it out")
    if not turned:
        raise ConfigError(f"anonymizer.dial = {dial}: {config.method} turns no dial; set method=dial, or leave it out")
    if config.departures.scrambled_frames:
        raise ConfigError(f"anonymizer.dial = {dial}: departures.scrambled_frames would mix it with the colours; leave one out")


def _require_differences(config: TrialConfig) -> None:
    """Raises ConfigError where an anonymizer that shows how frames differ would be given each by itself."""
    if config.clip.frames < 2:
        raise ConfigError(
            f"clip.frames = {config.clip.frames}: {config.method} shows how frames of a clip differ; give 2 or more"
        )
    if config.departures.scrambled_frames:
        raise ConfigError(
            f"departures.scrambled_frames: {config.method} shows how frames of a clip differ, and would be given each by"
            " itself; leave one out"
        )


def _is(config: TrialConfig, name: str, value: object) -> bool:
    """Whether a field has this value already, of the same type: 1 is not 1.0."""
    with contextlib.suppress(KeyError):
        return repr(value_of(config, name)) == repr(value)
    return False


# What the paper starts the opponents from (section 4.2, Algorithm 1): the group of TrialConfig, the network, the weights.
_STATED_WEIGHTS = {
    "action_classifier": ("f_T", "i3d_r50", "Kinetics-400 weights"),
    "privacy_encoder": ("f_B", "resnet50", "SimCLR weights trained on ImageNet"),
}


def missing_weights(method: str, networks: Mapping[str, tuple[str, str | None]]) -> tuple[str, ...]:
    """What to say of a trial of `method` in which a network of the paper's recipe starts from scratch and not from the paper's
    weights; empty for a method that trains none, or starts it from scratch in its own recipe.

    networks: name and weights of `action_classifier` and `privacy_encoder`.
    """
    if method not in METHODS or METHODS[method].anonymizer is None:
        return ()
    return tuple(
        f"{symbol} ({name}) starts from scratch, where the paper starts it from {stated}: give {group}.weights"
        for group, (symbol, name, stated) in _STATED_WEIGHTS.items()
        if networks[group] == (name, None) and f"{group}.weights" not in METHODS[method].recipe
    )


def _problem(error: ValidationError, options: type[MethodOptions], method: str) -> str:
    first = error.errors()[0]
    name, kind = str(first["loc"][0]), first["type"]
    if kind == "extra_forbidden":
        there = ", ".join(sorted(options.model_fields)) or "none"
        return f"options.{name}: the method {method} has no such option; it has: {there}"
    default, said = options.model_fields[name].default, first["msg"]
    if kind == "int_from_float":
        said = f"give a whole number, such as {default!r}"
    elif kind == "greater_than_equal":
        said = f"give a number of at least {first['ctx']['ge']:g}"
    elif kind == "value_error":
        said = str(first["ctx"]["error"])
    return f"options.{name} = {first['input']!r}: {said}"


for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
