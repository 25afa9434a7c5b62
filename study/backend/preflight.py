"""The check of every node before a trial starts on it: versions, data, storage, MLflow, GPUs and disk.

`preflight` asks the nodes that are there, each by a Ray task of its own, and prints one table. A node that comes later is
asked by its first trial (`require_here`).
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from analysis.terminal import show_table
from study.backend.base import Demands
from study.environment import without_passwords
from study.schedule.resources import Share
from trainables.config import ConfigError, TrialConfig
from trainables.data.items import DataError
from trainables.data.trial_data import TrialData
from trainables.plugins import Plugin, load_plugins
from trainables.store import StageStore
from trainables.versions import versions

_PACKAGES = ("ray", "torch", "torchvision", "mlflow", "numpy", "av", "pydantic")
_CODE = ("study", "trainables", "search_spaces")
_GIB = 2**30
DISK_GIB = 2.0  # below that a checkpoint may not fit
FREE_SHARE = 0.9  # of a GPU's memory, where Ray has given it to nobody
ANSWER_SECONDS = 120.0
UNFIT_SECONDS = 30.0  # a node that fails its check must not draw trial after trial


class NodeUnfit(RuntimeError):
    """This node cannot run the study's trials; another one may."""


@dataclass(frozen=True)
class Gpu:
    """A GPU of a node, with its `free` and `total` memory in bytes."""

    name: str
    free: int
    total: int


@dataclass(frozen=True)
class Needs:
    """What a node must have, as measured on the driver. Travels to every node as plain values.

    `data` are the settings of each trial's data, as a mapping, with the fingerprints of the sets by role. `files` are the
    sizes of files of weights in bytes. `probe` is the folder in the storage where the driver and every node write a file for
    each other to read. `checked` are the ids of the nodes that have passed.
    """

    versions: Mapping[str, str]
    data_root: str
    data: tuple[tuple[Mapping[str, Any], Mapping[str, str]], ...]
    files: Mapping[str, int]
    storage: str
    tracking_uri: str
    gpus: float
    gpu_memory: float | None = None  # GiB a trial needs; None: whatever its share of a GPU is
    plugins: tuple[Plugin, ...] = ()
    probe: str = ""
    checked: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Node:
    """A node as Ray sees it; `free_gpus` are those that Ray has given to nobody."""

    identity: str
    name: str
    cpus: float
    gpus: float
    free_gpus: float


@dataclass(frozen=True)
class Answer:
    gpus: tuple[Gpu, ...] = ()
    problems: tuple[str, ...] = ()


def needs_of(demands: Demands) -> Needs:
    """What the trials of a study need of a node, measured here, on the driver."""
    data: dict[str, tuple[Mapping[str, Any], dict[str, str]]] = {}
    files: set[str] = set()
    for plan in demands.plans:
        settings = plan.config.data.model_dump(mode="json")
        _, prints = data.setdefault(str(settings), (settings, {}))
        for stage in plan.stages:
            prints.update(stage.depends_on["data"])
        files |= {path for path in _weights(plan.config.model_dump()) if Path(path).is_file()}
    sizes = {path: Path(path).stat().st_size for path in sorted(files)}
    return Needs(
        versions(_PACKAGES, _CODE),
        str(demands.data_root),
        tuple(data.values()),
        sizes,
        demands.stages_at,
        demands.tracking_uri,
        demands.resources.most_gpus,
        demands.gpu_memory,
        demands.plugins,
    )


def preflight(needs: Needs, shares: Sequence[Share], later: bool) -> Needs:
    """Asks every node of the cluster that can hold a trial; `shares` are what trials are given. Prints one table.

    Returns `needs` with the nodes that have passed. Raises ConfigError if a node fails, or if a share fits no node and
    none is to come `later`.
    """
    start = time.monotonic()
    nodes = _nodes()
    for share in () if later else shares:
        if not any(_fits(share, resources) for _, resources in nodes):
            there = "; ".join(f"{node.name}: {node.cpus:g} CPUs, {_gpus_named(node, resources)}" for node, resources in nodes)
            raise ConfigError(
                f"no node can hold a trial of {share} ({there}); start one that can, change the resources of a"
                " trial, or say --nodes-come-later if the cluster grows by itself"
            )
    asked = [node for node, resources in nodes if any(_fits(share, resources) for share in shares)]
    store = StageStore(needs.storage)
    needs = replace(needs, probe=f".preflight-{uuid.uuid4().hex[:8]}")
    store.files.replace(f"{needs.probe}/driver", b"driver")
    try:
        answers = _ask(needs, asked)
        answers = {node: _returned(store, needs, node, answer) for node, answer in answers.items()}
    finally:
        store.files.remove_tree(needs.probe)
    print(f"preflight: {len(asked)} of {len(nodes)} nodes can hold a trial, asked in {time.monotonic() - start:.1f} s")
    rows = [(node.name, f"{node.cpus:g}", *_said(node, answers.get(node))) for node, _ in nodes]
    show_table(("node", "CPUs", "GPUs", "answer"), rows, right=("CPUs",), indent=2)
    problems = [f"{node.name}: {problem}" for node, answer in answers.items() for problem in answer.problems]
    if problems:
        failed = sum(bool(answer.problems) for answer in answers.values())
        raise ConfigError(f"preflight: {failed} of {len(asked)} nodes cannot run this study\n  " + "\n  ".join(problems))
    if not asked:
        print("  no node can hold a trial yet; each that comes is asked before its first trial", flush=True)
    return replace(needs, probe="", checked=frozenset(node.identity for node in asked))


def preflight_here(needs: Needs) -> None:
    """Checks this machine, the driver's, where it is the only node. Raises ConfigError."""
    problems = [*disk_problems(needs.storage), *(gpu_problems(needs, gpus_here(), 1.0) if needs.gpus else ())]
    if problems:
        raise ConfigError(f"preflight: {'; '.join(problems)}")
    print("preflight: this machine is ready", flush=True)


def require_here(needs: Needs) -> None:
    """Checks the node of this worker, once a process, unless it has passed before. Raises NodeUnfit."""
    import ray

    context = ray.get_runtime_context()
    if context.get_node_id() in needs.checked or needs in _passed:
        return
    try:
        problems = check(needs, context.get_node_id(), gpus_here, float(bool(needs.gpus))).problems
    except Exception as error:  # whatever it is, this node cannot run the trial
        problems = (" ".join(f"the check could not run ({type(error).__name__}: {error})".split()),)
    if problems:
        time.sleep(UNFIT_SECONDS)
        raise NodeUnfit(f"{socket.gethostname()} ({context.get_node_id()[:6]}): {'; '.join(problems)}")
    _passed.append(needs)


_passed: list[Needs] = []


def check(needs: Needs, node: str, gpus: Callable[[], tuple[Gpu, ...]], free_gpus: float) -> Answer:
    """Checks everything that can be seen from the node this runs on. Each problem is a line with its remedy."""
    found = gpus() if needs.gpus else ()
    problems = [
        *version_problems(needs.versions, versions(_PACKAGES, _CODE)),
        *_plugin_problems(needs.plugins),
        *data_problems(needs),
        *storage_problems(needs, node),
        *disk_problems(needs.storage),
        *tracking_problems(needs.tracking_uri),
        *(gpu_problems(needs, found, free_gpus) if needs.gpus else ()),
    ]
    return Answer(found, tuple(" ".join(problem.split()) for problem in problems))


def version_problems(wanted: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    return [
        f"{name} is {found.get(name, 'missing')}, on the driver {wanted.get(name, 'missing')}; install the same environment"
        " and checkout everywhere (make env), or submit with --working-dir ."
        for name in dict.fromkeys([*wanted, *found])
        if wanted.get(name) != found.get(name)
    ]


def data_problems(needs: Needs) -> list[str]:
    """The data sets and files of weights that are missing here, or differ from the driver's."""
    problems = [
        f"weights {path}: {'other bytes than' if Path(path).is_file() else 'not there, but'} on the driver; put them on"
        " storage that all nodes share"
        for path, size in needs.files.items()
        if not Path(path).is_file() or Path(path).stat().st_size != size
    ]
    if not Path(needs.data_root).is_dir():
        return [*problems, f"data root {needs.data_root}: not there; mount it on this node at the same path"]
    data: TrialData | None = None
    for settings, prints in needs.data:
        data = TrialData(TrialConfig.model_validate({"data": settings}), needs.data_root, like=data)
        for role, wanted in prints.items():
            try:
                splits = getattr(data, role)
                found, name = splits.fingerprint, splits.name
            except (DataError, OSError) as error:
                problems.append(str(error))
                continue
            if found != wanted:
                problems.append(
                    f"data root {needs.data_root}: {name} has fingerprint {found}, on the driver {wanted}; give this node the"
                    " same files (python -m trainables.data check)"
                )
    return list(dict.fromkeys(problems))


def storage_problems(needs: Needs, node: str) -> list[str]:
    """Writes this node's file, and reads the driver's. Where nobody has left one (`probe` empty) it only writes."""
    try:
        store = StageStore(needs.storage)
        store.require()
        if not needs.probe:
            return []
        seen = store.files.read(f"{needs.probe}/driver")
        store.files.replace(f"{needs.probe}/{node}", node.encode())
    except ConfigError as error:
        return [str(error)]
    except Exception as error:  # each backend has errors of its own
        return [f"storage {needs.storage}: cannot be used ({type(error).__name__}: {error}); check the place and your rights"]
    return [] if seen == b"driver" else [_not_shared(needs.storage, "what the driver wrote is not seen here")]


def disk_problems(storage: str) -> list[str]:
    """Checks the room for the storage (where it is a directory) and for temporary files."""
    directory = StageStore(storage).directory
    places = {"storage": directory, "temporary files": Path(tempfile.gettempdir())}
    problems = []
    for what, place in places.items():
        here = place
        while here is not None and not here.exists():
            here = here.parent
        if here is not None and (free := shutil.disk_usage(here).free / _GIB) < DISK_GIB:
            problems.append(f"{what} {place}: {free:.1f} GiB free, needs {DISK_GIB:g}; make room")
    return problems


def tracking_problems(tracking_uri: str) -> list[str]:
    """Asks MLflow for one experiment. `study.environment` limits its client to seconds; by default it would try for minutes."""
    from mlflow.tracking import MlflowClient

    from study.records.refusal import trouble

    database = tracking_uri.removeprefix("sqlite:///")
    if database != tracking_uri and not Path(database).is_file():
        return [
            f"MLflow {tracking_uri}: the file is not there; give the --storage or --tracking-uri that a study"
            " has its records in, on a cluster a server that all nodes reach"
        ]
    try:
        MlflowClient(tracking_uri).search_experiments(max_results=1)
    except Exception as error:  # a server, a database, a driver: each has errors of its own
        where = without_passwords(tracking_uri)
        return [f"MLflow {where}: {trouble(error)}; start it, or give an address that this node reaches"]
    return []


def gpus_here() -> tuple[Gpu, ...]:
    """All GPUs that PyTorch can use in this process."""
    import torch

    if not torch.cuda.is_available():
        return ()
    return tuple(
        Gpu(torch.cuda.get_device_name(number), *torch.cuda.mem_get_info(number)) for number in range(torch.cuda.device_count())
    )


def gpu_problems(needs: Needs, found: Sequence[Gpu], free_gpus: float) -> list[str]:
    """`free_gpus` of the GPUs here are to be given to trials: they must be there, and nobody else's."""
    if not found:
        return [
            "trials ask for a GPU, but PyTorch sees none here; check the driver (nvidia-smi) and that torch is built for it"
        ]
    share = min(1.0, needs.gpus)
    problems = []
    if needs.gpu_memory is not None:
        for gpu in found:
            if gpu.total / _GIB * share < needs.gpu_memory:
                problems.append(
                    f"{gpu.name}: {gpu.total / _GIB * share:.0f} GiB for a trial, needs {needs.gpu_memory:g}; give a trial more"
                    " of a GPU (--gpus-per-trial, --gpus-for), or leave this node out"
                )
                break
    idle = [gpu for gpu in found if gpu.free >= FREE_SHARE * gpu.total]
    if len(idle) < int(free_gpus):
        full = min(found, key=lambda gpu: gpu.free / gpu.total)
        problems.append(
            f"{len(found)} GPUs, of which {len(idle)} have their memory free and {free_gpus:g} are to be used (one has"
            f" {full.free / _GIB:.1f} of {full.total / _GIB:.1f} GiB free); end what holds it (nvidia-smi)"
        )
    return problems


def _check_on_node(needs: Needs, node: Node) -> Answer:
    if not node.gpus:
        needs = replace(needs, gpus=0.0)  # only trials without a GPU come here
    # with no GPU given to this task Ray may hide them all
    os.environ.pop("CUDA_VISIBLE_DEVICES", None)
    answer = check(needs, node.identity, gpus_here, node.free_gpus)
    if needs.gpus and 0 < len(answer.gpus) < node.gpus:
        missing = f"Ray counts {node.gpus:g} GPUs, PyTorch sees {len(answer.gpus)}; check nvidia-smi, then ray start again"
        return replace(answer, problems=(*answer.problems, missing))
    return answer


def _ask(needs: Needs, nodes: Sequence[Node]) -> dict[Node, Answer]:
    """One task a node, all at once; its process ends with it, and gives back what CUDA took."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    remote = ray.remote(num_cpus=0, max_calls=1, max_retries=0)(_check_on_node)
    calls = {
        remote.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node.identity, soft=False)).remote(needs, node): node
        for node in nodes
    }
    ready, _ = ray.wait(list(calls), num_returns=len(calls), timeout=ANSWER_SECONDS) if calls else ([], [])
    answers = {}
    for call, node in calls.items():
        if call not in ready:
            answers[node] = Answer(problems=(f"no answer within {ANSWER_SECONDS:g} s; look at it, or take it out (ray stop)",))
            continue
        try:
            answers[node] = ray.get(call)
        except Exception as error:
            reason = " ".join(str(error).split())[-200:]
            remedy = "is the checkout there, with its environment? (make env, or submit with --working-dir .)"
            answers[node] = Answer(problems=(f"the check could not run ({reason}); {remedy}",))
    return answers


def _returned(store: StageStore, needs: Needs, node: Node, answer: Answer) -> Answer:
    """Adds a problem to `answer` unless the driver can read what the node wrote."""
    if answer.problems or store.files.read(f"{needs.probe}/{node.identity}") == node.identity.encode():
        return answer
    return replace(answer, problems=(_not_shared(needs.storage, "what this node wrote is not seen on the driver"),))


def _not_shared(storage: str, what: str) -> str:
    return f"storage {storage}: {what}; mount the same place at this path on all nodes, or give s3:// or gs://"


def _nodes() -> list[tuple[Node, Mapping[str, float]]]:
    import ray
    from ray._private.state import available_resources_per_node

    free = available_resources_per_node()
    found = []
    for info in ray.nodes():
        if info["Alive"]:
            identity, resources = info["NodeID"], info["Resources"]
            name = f"{info['NodeManagerHostname']} {info['NodeManagerAddress']} ({identity[:6]})"
            gpus = resources.get("GPU", 0.0)
            node = Node(identity, name, resources.get("CPU", 0.0), gpus, free.get(identity, {}).get("GPU", 0.0))
            found.append((node, resources))
    return sorted(found, key=lambda pair: pair[0].name)


def _fits(share: Share, resources: Mapping[str, float]) -> bool:
    return all(resources.get(name, 0.0) >= amount for name, amount in share.bundle.items())


def _gpus_named(node: Node, resources: Mapping[str, float]) -> str:
    kinds = [name.partition(":")[2] for name in resources if name.startswith("accelerator_type:")]
    return f"{node.gpus:g} GPUs{''.join(f' {kind}' for kind in kinds)}"


def _said(node: Node, answer: Answer | None) -> tuple[str, str]:
    """The GPUs of a node, and its answer in short."""
    if answer is None:
        return f"{node.gpus:g}", "no trial fits: not asked"
    names = [gpu.name for gpu in answer.gpus]
    gpus = ", ".join(f"{names.count(name)} x {name}" for name in dict.fromkeys(names)) or f"{node.gpus:g}"
    return gpus, "ok" if not answer.problems else f"{len(answer.problems)} wrong"


def _weights(values: Mapping[str, Any]) -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _weights(value)
        elif key.endswith("weights") and isinstance(value, str):
            yield value


def _plugin_problems(plugins: Sequence[Plugin]) -> list[str]:
    try:
        load_plugins(plugins)
    except ConfigError as error:
        return [str(error)]
    return []
