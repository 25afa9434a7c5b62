"""A user's own spaces, methods, networks and data sets: Python files that register themselves when they are imported.

They are named on the command line (`--plugin my_method.py`) or by an installed package's entry points (group
`anonymization.plugins`, each naming a module). The source of a file travels with every trial, so workers need no copy.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path

from trainables.config import ConfigError
from trainables.registry import Registry

GROUP = "anonymization.plugins"


@dataclass(frozen=True)
class Plugin:
    """`module`: the name it is imported under, the `__module__` of the functions in it."""

    module: str
    path: str
    source: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.source.encode()).hexdigest()[:16]


_loaded: dict[str, Plugin] = {}


def read_plugins(paths: Sequence[str]) -> tuple[Plugin, ...]:
    """The files, not yet run. Raises ConfigError for one that cannot be read or whose name is taken by another module."""
    plugins = []
    for path in paths:
        try:
            source = Path(path).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"--plugin {path}: cannot be read ({error}); give a Python file") from None
        module = Path(path).stem
        if not module.isidentifier() or (module in sys.modules and module not in _loaded):
            raise ConfigError(f"--plugin {path}: {module!r} is no name for a module, or another module's; rename the file")
        plugins.append(Plugin(module, str(Path(path).absolute()), source))
    return tuple(plugins)


def load_plugins(plugins: Sequence[Plugin] = ()) -> None:
    """Runs the plugins and those of installed packages, each once in a process, so that what they register is there.

    Raises ConfigError with the line at fault if one cannot be run.
    """
    for point in entry_points(group=GROUP):
        if point.value in _loaded:
            continue
        module = _run(f"entry point {point.name} = {point.value}", partial(importlib.import_module, point.value))
        file = Path(module.__file__ or "")
        _loaded[point.value] = Plugin(point.value, str(file), file.read_text() if file.is_file() else "")
    for plugin in plugins:
        if plugin.module not in _loaded:
            _run(f"--plugin {plugin.path}", partial(_execute, plugin))
            _loaded[plugin.module] = plugin
        elif _loaded[plugin.module].source != plugin.source:
            raise ConfigError(f"--plugin {plugin.path}: another version of it is loaded in this process; start again")


def loaded_plugins() -> tuple[Plugin, ...]:
    """The files that this process has run, for another one of the same trial."""
    return tuple(
        plugin for module, plugin in _loaded.items() if module not in {point.value for point in entry_points(group=GROUP)}
    )


def plugin_digests(stage_module: str, values: object) -> dict[str, str]:
    """Which plugins a stage depends on, with the hashes of their sources: its own code, and every name in `values`, the
    stage's part of a config, that a plugin registered. So an edited plugin computes its stages again.
    """
    modules = {stage_module} | {origin for text in _strings(values) for origin in Registry.origins(text)}
    return {name: _loaded[name].digest for name in sorted(modules) if name in _loaded}


def registered_by_plugin(name: str) -> bool:
    """Whether a plugin registered `name`, in whatever registry."""
    return any(origin in _loaded for origin in Registry.origins(name))


def _strings(value: object) -> set[str]:
    if isinstance(value, str):
        return {value}
    if isinstance(value, dict):
        return {text for item in value.values() for text in _strings(item)}
    return {text for item in value for text in _strings(item)} if isinstance(value, list | tuple) else set()


def _execute(plugin: Plugin) -> types.ModuleType:
    module = types.ModuleType(plugin.module)
    module.__file__ = plugin.path
    sys.modules[plugin.module] = module
    try:
        exec(compile(plugin.source, plugin.path, "exec"), module.__dict__)
    except BaseException:
        del sys.modules[plugin.module]
        raise
    return module


def _run(what: str, load: Callable[[], types.ModuleType]) -> types.ModuleType:
    try:
        return load()
    except Exception as error:
        at = error.__traceback__
        while at is not None and at.tb_next is not None:
            at = at.tb_next
        line = f" at line {at.tb_lineno}" if at is not None else ""
        if isinstance(error, SyntaxError):
            line = f" at line {error.lineno}"
        raise ConfigError(f"{what}: {type(error).__name__}{line}: {' '.join(str(error).split())}") from None
