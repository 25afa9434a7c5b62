"""A user's own spaces, methods, networks and data sets: Python files that register themselves when they are imported.

They are named on the command line (`--plugin my_method.py`) or by an installed package's entry points (group
`anonymization.plugins`, each naming a module). The sources of a file, and of the modules beside it that it imports, travel with
every trial, so workers need no copy.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import importlib
import importlib.util
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import entry_points
from pathlib import Path

from trainables.config import ConfigError
from trainables.registry import Registry

GROUP = "anonymization.plugins"


@dataclass(frozen=True)
class Source:
    """A module as text. `module`: the name it is imported under, the `__module__` of the functions in it."""

    module: str
    path: str
    source: str


@dataclass(frozen=True)
class Plugin(Source):
    """A file that registers what a user adds. `helpers`: the modules beside it that it imports, and those that these import."""

    helpers: tuple[Source, ...] = ()

    @property
    def digest(self) -> str:
        texts = [self.source, *(helper.source for helper in self.helpers)]
        return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


_loaded: dict[str, Plugin] = {}
_helpers: dict[str, tuple[Source, Plugin]] = {}  # by module, with the plugin that brought it


def add_plugin_argument(parser: argparse.ArgumentParser, what: str) -> None:
    """The option `--plugin FILE.py`, any number of times, for `load_named`."""
    parser.add_argument("--plugin", action="append", default=[], metavar="FILE.py", help=what)


def load_named(paths: Sequence[str]) -> None:
    """Runs the files of `--plugin` and the plugins of installed packages. Raises ConfigError with file and line."""
    load_plugins(read_plugins(paths))


def read_plugins(paths: Sequence[str]) -> tuple[Plugin, ...]:
    """The files, not yet run. Raises ConfigError for one that cannot be read or whose name is taken by another module."""
    plugins = []
    for path in paths:
        try:
            source = Path(path).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"--plugin {path}: cannot be read ({error}); give a Python file") from None
        module = Path(path).stem
        taken = module in sys.stdlib_module_names or (
            module in sys.modules and module not in _loaded and module not in _helpers
        )
        if not module.isidentifier() or taken:
            raise ConfigError(f"--plugin {path}: {module!r} is no name for a module, or another module's; rename the file")
        plugins.append(Plugin(module, str(Path(path).absolute()), source, _modules_beside(Path(path).absolute(), source)))
    return tuple(plugins)


def load_plugins(plugins: Sequence[Plugin] = ()) -> None:
    """Runs the plugins and those of installed packages, each once in a process, so that what they register is there.

    Raises ConfigError with the file and the line at fault if one cannot be run.
    """
    for point in entry_points(group=GROUP):
        if point.value in _loaded:
            continue
        module = _run(f"entry point {point.name} = {point.value}", "", partial(importlib.import_module, point.value))
        file = Path(module.__file__ or "")
        _loaded[point.value] = Plugin(point.value, str(file), file.read_text() if file.is_file() else "")
    for plugin in plugins:
        if plugin.module in _loaded:
            if _loaded[plugin.module].digest != plugin.digest:
                raise ConfigError(f"--plugin {plugin.path}: another version of it is loaded in this process; start again")
            continue
        for helper in plugin.helpers:
            known = _helpers.setdefault(helper.module, (helper, plugin))[0]
            if known.source != helper.source:
                raise ConfigError(
                    f"--plugin {plugin.path}: imports {helper.path}, but {helper.module!r} is {known.path} already; rename one"
                )
        if not any(isinstance(finder, _HelperFinder) for finder in sys.meta_path):
            sys.meta_path.append(_HelperFinder())
        if plugin.module not in sys.modules:  # another plugin may have imported it
            _run(f"--plugin {plugin.path}", plugin.path, partial(_execute, plugin))
        _loaded[plugin.module] = plugin


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
    found = {plugin.module: plugin.digest for plugin in map(_plugin_of, modules) if plugin is not None}
    return dict(sorted(found.items()))


def registered_by_plugin(name: str) -> bool:
    """Whether a plugin registered `name`, in whatever registry."""
    return any(_plugin_of(origin) is not None for origin in Registry.origins(name))


def blamed(error: BaseException) -> str:
    """`FILE line N`: where in the code of a plugin an error came from; empty if it came from elsewhere."""
    files = {plugin.path for plugin in _loaded.values()} | {helper.path for helper, _ in _helpers.values()}
    return next((f"{file} line {line}" for file, line in _places(error) if file in files), "")


def _plugin_of(module: str) -> Plugin | None:
    return _loaded.get(module) or _helpers.get(module, (None, None))[1]


def _strings(value: object) -> set[str]:
    if isinstance(value, str):
        return {value}
    if isinstance(value, dict):
        return {text for item in value.values() for text in _strings(item)}
    return {text for item in value for text in _strings(item)} if isinstance(value, list | tuple) else set()


def _modules_beside(path: Path, source: str) -> tuple[Source, ...]:
    """The modules in the folder of a file that it imports, itself or through one of them, unless Python finds another one."""
    found: dict[str, Source] = {}
    todo = [(source, "")]
    while todo:
        text, package = todo.pop()
        for name in _imported(text, package):
            file = next((file for file in _files_of(path.parent, name) if file.is_file()), None)
            if name in found or file is None or _is_elsewhere(name.partition(".")[0], path.parent):
                continue
            found[name] = Source(name, str(file), file.read_text(encoding="utf-8-sig"))
            todo.append((found[name].source, name if file.name == "__init__.py" else name.rpartition(".")[0]))
    return tuple(found[name] for name in sorted(found))


def _imported(source: str, package: str) -> Iterator[str]:
    """The dotted names of modules that may be meant by the imports in `source`, packages before what is in them."""
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except SyntaxError:
        return  # it is said, with its line, when the file is run
    for node in nodes:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            parts = name.split(".")
            yield from (".".join(parts[:count]) for count in range(1, len(parts) + 1))


def _files_of(folder: Path, name: str) -> tuple[Path, Path]:
    place = folder.joinpath(*name.split("."))
    return place / "__init__.py", place.with_name(f"{place.name}.py")


def _is_elsewhere(name: str, folder: Path) -> bool:
    """Whether Python imports a module of this name from another place than `folder`."""
    if name in _helpers or name in _loaded:
        return False
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return False
    return spec is not None and folder not in Path(spec.origin or "").parents


class _HelperFinder(MetaPathFinder):
    """Imports the modules that plugins brought, from their sources: on a worker there are no files."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name not in _helpers:
            return None
        helper = _helpers[name][0]
        package = Path(helper.path).name == "__init__.py"
        spec = importlib.util.spec_from_loader(name, _HelperLoader(helper), origin=helper.path, is_package=package)
        if spec is not None:
            spec.has_location = True  # gives the module its __file__
        return spec


class _HelperLoader(Loader):
    def __init__(self, helper: Source) -> None:
        self._helper = helper

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: types.ModuleType) -> None:
        exec(compile(self._helper.source, self._helper.path, "exec"), module.__dict__)


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


def _run(what: str, path: str, load: Callable[[], types.ModuleType]) -> types.ModuleType:
    try:
        return load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        places = list(_places(error))
        own = {path, *(helper.path for helper, _ in _helpers.values())}
        file, line = next((place for place in places if place[0] in own), places[0] if places else ("", 0))
        if isinstance(error, SyntaxError):
            file, line = error.filename or file, error.lineno or line
        where = f"{what}, line {line}" if file == path else f"{what}: {file} line {line}"
        said = " ".join(str(error.msg if isinstance(error, SyntaxError) else error).split())
        if isinstance(error, SystemExit):
            said = f"it ends the program (exit code {said or 0}); a plug-in registers, and does nothing else"
        elif not isinstance(error, ConfigError):
            said = f"{type(error).__name__}: {said}"
        raise ConfigError(f"{where}: {said}") from None


def _places(error: BaseException) -> Iterator[tuple[str, int]]:
    """The files and lines that an error passed through, the innermost first."""
    places = []
    at = error.__traceback__
    while at is not None:
        places.append((at.tb_frame.f_code.co_filename, at.tb_lineno))
        at = at.tb_next
    yield from reversed(places)
