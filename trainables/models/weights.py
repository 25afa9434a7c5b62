"""Starting weights of a network: from a file, or by a name the library knows.

Files are read as plain tensors only (`weights_only`, safetensors): a pickle that would run code is refused.
"""

from __future__ import annotations

import contextlib
import logging
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from trainables.config import AnonymizerConfig, ConfigError, NetworkConfig
from trainables.models.mobilenet import MobileNetFrames
from trainables.models.packaged import PACKAGE, PACKAGED_WEIGHTS, packaged_weights
from trainables.one_line import reason

if TYPE_CHECKING:
    from trainables.models.classifier import Classifier

log = logging.getLogger(__name__)

State = dict[str, Tensor]

# Of torchvision, as far as they find people (COCO's class 1) and put boxes around them.
DETECTORS = (
    "fasterrcnn_resnet50_fpn",
    "fasterrcnn_resnet50_fpn_v2",
    "fasterrcnn_mobilenet_v3_large_fpn",
    "fasterrcnn_mobilenet_v3_large_320_fpn",
    "fcos_resnet50_fpn",
    "retinanet_resnet50_fpn",
    "retinanet_resnet50_fpn_v2",
    "ssd300_vgg16",
    "ssdlite320_mobilenet_v3_large",
)
DETECTOR_FIELD, ATTACKER_FIELD = "obfuscation.detector_weights", "attacks.people_detector_weights"

# (model, name) -> the entry of torchvision's weights enumeration. V1 is what `pretrained=True` meant when the paper was made.
TORCHVISION_WEIGHTS = {
    **{(f"resnet{depth}", "imagenet"): "IMAGENET1K_V1" for depth in (18, 34, 50, 101, 152)},
    **{(model, "imagenet"): "IMAGENET1K_V1" for model in ("mobilenet_v2", "frozen_mobilenet_v2")},
    **{(model, "kinetics400"): "KINETICS400_V1" for model in ("r3d_18", "r2plus1d_18", "mvit_v2_s")},
    **{(model, "coco"): "COCO_V1" for model in DETECTORS},
}
# pytorchvideo.models.hub.resnet.checkpoint_paths["i3d_r50"], written out because importing it takes seconds.
I3D_URL = "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics/I3D_8x8_R50.pyth"

# SimCLR on ImageNet for 800 epochs, of VISSL (facebookresearch/vissl, MODEL_ZOO.md); its head is the 2048-2048-128 of f_B.
SIMCLR_URL = (
    "https://dl.fbaipublicfiles.com/vissl/model_zoo/"
    "simclr_rn50_800ep_simclr_8node_resnet_16_07_20.7e8feed1/model_final_checkpoint_phase799.torch"
)
# Library names that are not of torchvision, and the names under which torch.hub keeps their files: VISSL's are all alike.
OTHER_WEIGHTS = {("i3d_r50", "kinetics400"): I3D_URL, ("resnet50", "simclr"): SIMCLR_URL}
CACHE_NAMES = {SIMCLR_URL: "simclr_rn50_800ep.torch"}
LIBRARY_NAMES = ("imagenet", "simclr", "kinetics400", "coco")

# The dictionaries that training scripts wrap a state dict in; `model_state` is pytorchvideo's.
WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model")
# Heads as other self-supervised code names them, beside a `backbone.`.
FOREIGN_HEADS = ("fc.", "classifier.", "projector.", "projection_head.")
HUB_FILE = "model.safetensors"
REACH_SECONDS = 5.0


@dataclass(frozen=True)
class LoadReport:
    """How many tensors came from `source`, and which of the model's own kept their fresh values: those of a replaced head."""

    source: str
    loaded: int
    replaced: tuple[str, ...] = ()

    def __str__(self) -> str:
        head = f", head replaced: {_names(self.replaced)} start from scratch" if self.replaced else ""
        return f"{self.source}: {self.loaded} tensors loaded{head}"


_UNLOADED: ContextVar[bool] = ContextVar("unloaded", default=False)


@contextlib.contextmanager
def without_weights() -> Iterator[None]:
    """Within it nothing is loaded into any network: for those whose values do not matter, only their shapes."""
    before, load = _UNLOADED.set(True), nn.Module.load_state_dict
    nn.Module.load_state_dict = lambda *_, **__: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        _UNLOADED.reset(before)
        nn.Module.load_state_dict = load  # type: ignore[method-assign]


def initialise(model: Classifier, network: NetworkConfig) -> LoadReport | None:
    """Gives a classifier or encoder the weights its config names; None for one that starts from scratch."""
    return None if network.weights is None else load_weights(model, network.weights, network.name)


def load_weights(model: nn.Module, source: str, name: str, field: str = "weights") -> LoadReport:
    """Loads the file or library name `source` into `model`, the network registered as `name`.

    A head made for another number of outputs is left fresh, which the report and the log say. Any other difference raises a
    ConfigError of one line that begins with `field` and counts what is missing, unexpected or of another shape.
    """
    if _UNLOADED.get():
        return LoadReport(source, 0)
    url = library_url(name, source)
    state = read_state_dict(source, name, field) if url is None else _download(url, source, field)
    return _load(model, state, source, name, field)


def load_encoder_weights(encoder: nn.Module, config: AnonymizerConfig) -> LoadReport | None:
    """The encoder of an anonymizer: from a file of a state dict, or `imagenet` from where its library keeps them."""
    if config.encoder_weights is None or _UNLOADED.get():
        return None
    field, source, name = "anonymizer.encoder_weights", config.encoder_weights, f"encoder {config.encoder}"
    state = _pretrained_encoder(config) if source == "imagenet" else read_encoder(source, name, field)
    return _load(encoder, state, source, name, field)


def library_url(model: str, name: str) -> str | None:
    """Where the library keeps the weights `name` of `model`; None when it has none by that name."""
    if (model, name) in OTHER_WEIGHTS:
        return OTHER_WEIGHTS[model, name]
    if (model, name) not in TORCHVISION_WEIGHTS:
        return None
    from torchvision.models import get_model_weights

    return get_model_weights(model.removeprefix("frozen_"))[TORCHVISION_WEIGHTS[model, name]].url


def read_state_dict(path: str, model: str, field: str) -> State:
    """Reads a file of tensors, bare or wrapped as training scripts do, without the `module.` of DataParallel.

    `package` is the file that an installed package carries. Raises ConfigError where the file is absent, unreadable, holds
    anything but tensors, or would run code.
    """
    where = f"{field} = {path!r}"
    path = str(packaged_weights(model, field)) if path == PACKAGE else path
    if not Path(path).is_file():
        names = [name for name in LIBRARY_NAMES if library_url(model, name)]
        names += [PACKAGE] if model in PACKAGED_WEIGHTS else []
        library = f" nor a library name of {model} ({', '.join(names)})" if names else f", and {model} has no library weights"
        raise ConfigError(f"{where}: no such file{library}; {_remedy(field)}")
    try:
        if path.endswith(".safetensors"):
            from safetensors.torch import load_file

            content: Any = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError:
        raise ConfigError(
            f"{where}: not a file of tensors alone, and reading it further could run code;"
            " save it again with torch.save(model.state_dict(), FILE)"
        ) from None
    except Exception as error:  # torch, zipfile and safetensors each raise their own kinds for a damaged file
        raise ConfigError(f"{where}: cannot be read ({reason(error, 160)}); {_remedy(field)}") from None
    state = _unwrap(content, where)
    return _of_mobilenet(state) if model in PACKAGED_WEIGHTS else state


def _of_mobilenet(state: State) -> State:
    """The state by torchvision's names where it is the trunk of MobileNetV2 in their order under older ones."""
    with torch.device("meta"):
        own = MobileNetFrames().features.state_dict()
    pairs = list(zip(own, state, strict=False))
    alike = all(own[new].shape == state[old].shape and new.split(".")[-1] == old.split(".")[-1] for new, old in pairs)
    return {f"features.{new}": state[old] for new, old in pairs} if alike and len(own) == len(state) else state


def _unwrap(content: Any, where: str) -> State:
    if isinstance(content, Mapping) and isinstance(content.get("classy_state_dict"), Mapping):
        content = _of_vissl(content["classy_state_dict"])
    if isinstance(content, Mapping):
        content = next((content[key] for key in WRAPPERS if isinstance(content.get(key), Mapping)), content)
    if not isinstance(content, Mapping) or not content or not all(isinstance(value, Tensor) for value in content.values()):
        raise ConfigError(f"{where}: neither a state dict nor one under {', '.join(WRAPPERS)}; save model.state_dict()")
    return {str(key).removeprefix("module."): value for key, value in content.items()}


def _of_vissl(content: Mapping[str, Any]) -> Any:
    """The tensors of a checkpoint of VISSL by the names of `Classifier`; None for one with another inside.

    The layers of its projection head are `0.clf.0` and `1.clf.0`, with a ReLU between them.
    """
    try:
        model = content["base_model"]["model"]
        body = {f"backbone.{key.removeprefix('_feature_blocks.')}": value for key, value in model["trunk"].items()}
        layers = {"0.clf.0.": "head.0.", "1.clf.0.": "head.2."}
        head = {layers[key[:8]] + key[8:]: value for key, value in model["heads"].items()}
    except (KeyError, TypeError, AttributeError):
        return None
    return body | head


def read_encoder(path: str, name: str, field: str) -> State:
    """An encoder's file; the head of the classifier that it was trained as is of no use to an anonymizer."""
    state = read_state_dict(path, name, field)
    return {key: value for key, value in state.items() if not key.startswith(("fc.", "classifier.", "head."))}


def _load(model: nn.Module, state: State, source: str, name: str, field: str) -> LoadReport:
    fitting, replaced = match(model, state, source, name, field)
    model.load_state_dict(fitting, strict=False)
    report = LoadReport(source, len(fitting), replaced)
    log.info("%s of %s", field, report)
    return report


def match(model: nn.Module, state: State, source: str, name: str, field: str) -> tuple[State, tuple[str, ...]]:
    """The part of `state` to load, and the keys of the model's head that it does not fit. Only names and shapes are looked at.

    Raises ConfigError when anything but the head differs.
    """
    own = model.state_dict()
    library_head = getattr(model, "library_head", None)
    if library_head is not None:
        state = {_own_key(key, library_head): value for key, value in state.items()}

    def is_head(key: str) -> bool:
        return library_head is not None and not key.startswith("backbone.")

    # Counters of batch norm are absent from files older than they are, and nothing reads them at a fixed momentum.
    differences = {
        "missing": [key for key in own if key not in state and not key.endswith("num_batches_tracked")],
        "unexpected": [key for key in state if key not in own],
        "of another shape": [key for key in own if key in state and own[key].shape != state[key].shape],
    }
    body = {kind: [key for key in keys if not is_head(key)] for kind, keys in differences.items()}
    if any(body.values()):
        counts = "; ".join(f"{len(keys)} {kind} ({_names(keys)})" for kind, keys in body.items() if keys)
        raise ConfigError(f"{field} = {source!r}: does not fit {name}: {counts}; {_remedy(field)}")
    # Half a head is none: where one of its layers differs, all of it starts fresh.
    replaced = tuple(key for key in own if is_head(key)) if any(differences.values()) else ()
    return {key: value for key, value in state.items() if key in own and key not in replaced}, replaced


def _own_key(key: str, library_head: str) -> str:
    """A key in `Classifier`'s layout, from one in that layout already or in the library's own."""
    bare = key.removeprefix("backbone.")
    if bare.startswith(f"{library_head}."):
        return "head." + bare.removeprefix(f"{library_head}.")
    return key if key.startswith(("backbone.", "head.", *FOREIGN_HEADS)) else f"backbone.{key}"


def _download(url: str, source: str, field: str) -> State:
    require_available(url, source, field)
    try:
        content = torch.hub.load_state_dict_from_url(
            url, map_location="cpu", progress=False, weights_only=True, file_name=_cache_name(url)
        )
    except Exception as error:  # network, disk and format errors alike
        raise ConfigError(f"{field} = {source!r}: {url} cannot be loaded ({reason(error, 160)}); {_remedy(field)}") from None
    return _unwrap(content, f"{field} = {source!r}")


def _pretrained_encoder(config: AnonymizerConfig) -> State:
    import segmentation_models_pytorch as smp

    require_encoder_available(config.encoder)
    # Encoders of timm ("tu-") carry the tag of their weights in their name and only want to be told whether to load them.
    weights: Any = True if config.encoder.startswith("tu-") else "imagenet"
    try:
        return smp.encoders.get_encoder(config.encoder, depth=config.depth, weights=weights).state_dict()
    except Exception as error:
        field = "anonymizer.encoder_weights"
        raise ConfigError(f"{field} = 'imagenet': cannot be loaded ({reason(error, 160)}); {_remedy(field)}") from None


def require_available(url: str, source: str, field: str) -> None:
    """Raises ConfigError unless torch.hub has the file of `url` in its cache, or a server answers for it now."""
    if not (Path(torch.hub.get_dir()) / "checkpoints" / _cache_name(url)).is_file():
        _require_reachable(url, source, field)


def _cache_name(url: str) -> str:
    return CACHE_NAMES.get(url, url.rsplit("/", 1)[-1])


def require_encoder_available(encoder: str) -> None:
    """Raises ConfigError unless the encoder has ImageNet weights, and they are in the hub's cache or can be reached."""
    from huggingface_hub import hf_hub_url, try_to_load_from_cache

    field, source = "anonymizer.encoder_weights", "imagenet"
    repository, revision = _encoder_repository(encoder)
    if repository is None:
        raise ConfigError(f"{field} = {source!r}: encoder {encoder!r} has no such weights; {_remedy(field)}")
    if not isinstance(try_to_load_from_cache(repository, HUB_FILE, revision=revision), str):
        _require_reachable(hf_hub_url(repository, HUB_FILE, revision=revision), source, field)


def _encoder_repository(encoder: str) -> tuple[str | None, str | None]:
    """Repository and revision of an encoder's ImageNet weights on the Hugging Face hub."""
    if encoder.startswith("tu-"):
        import timm

        pretrained = timm.models.get_pretrained_cfg(encoder.removeprefix("tu-"))
        return (pretrained.hf_hub_id if pretrained else None), None
    import segmentation_models_pytorch as smp

    settings = smp.encoders.encoders.get(encoder, {}).get("pretrained_settings", {}).get("imagenet", {})
    return settings.get("repo_id"), settings.get("revision")


def _require_reachable(url: str, source: str, field: str) -> None:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=REACH_SECONDS):
            return
    except OSError as error:  # URLError, HTTPError and timeouts among them
        why = f"not in the cache, and {url} cannot be reached ({reason(error, 160)})"
        raise ConfigError(f"{field} = {source!r}: {why}; {_remedy(field)}") from None


def _names(keys: Sequence[str], most: int = 3) -> str:
    return ", ".join(keys[:most]) + (", ..." if len(keys) > most else "")


def _remedy(field: str) -> str:
    if field in (DETECTOR_FIELD, ATTACKER_FIELD):  # a detector from scratch finds nobody
        return f"give the state dict of a model of torchvision with {field}=FILE, or {field}=coco"
    return f"give a file with {field}=FILE, or {field}=null to start from scratch"
