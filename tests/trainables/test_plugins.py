"""Plug-ins that are wrong: each ends in one line with the user's file and its line, before anything trains."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from search_spaces.plan import plan_study
from tests.support import ROOT, SHARED
from tests.support.plugin_files import loaded
from tests.support.stages import SilentReporter
from trainables.__main__ import main
from trainables.config import ActionData, ConfigError, PrivacyData, Runtime, TrialConfig, with_values
from trainables.data.__main__ import main as data_main
from trainables.data.items import DataError
from trainables.data.registry import load_stills, load_videos
from trainables.data.trial_data import TrialData
from trainables.methods import resolved
from trainables.models.check import check_weights
from trainables.pipeline import run_trial
from trainables.plan import plan_trial
from trainables.plugins import Plugin, load_plugins, plugin_digests, read_plugins

CASES = SHARED.parent / "cases" / "plugins"


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """(text, name) -> a plug-in of that text, whose first line is line 1."""

    def make(text: str, name: str = "own_plugin") -> Path:
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"))
        return path

    return make


def refused(path: Path, *more: Path) -> str:
    """The line with which a plug-in is refused when it is loaded."""
    with pytest.raises(ConfigError) as found, loaded(path, *more):
        pass
    line = str(found.value)
    assert "\n" not in line
    return line


STAGE = "from trainables.stages import Stage, RECONSTRUCT\nfrom trainables.methods import METHODS, Method\n"


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (STAGE + "METHODS.register('penalty')(Method('mine'))", 3, r"method 'penalty' is registered twice, first in .*penalty"),
        (STAGE + "\nMETHODS.register('open, close')(Method('mine'))", 4, r"'open, close': a name has letters, digits"),
        ("from search_spaces.registry import Space\n\nSpace('m', '?', settings=())", 3, r"a space with settings = \(\)"),
        (STAGE + "S = Stage('s', 'module:run')", 3, r"stage 's': run = 'module:run' is no function"),
        (STAGE + "Method('m', (Stage('s', print, inputs=('nowhere',)),))", 3, r"reads 'nowhere', no stage before it"),
        (
            STAGE + "Method('m', (RECONSTRUCT,), anonymizer='s')",
            3,
            r"comes from 's', none of its stages; there are reconstruct",
        ),
        (STAGE + "Method('m', options={'pull': 0.5})", 3, r"options = \{'pull': 0.5\}; give a subclass of MethodOptions"),
        (STAGE + "Method('m', fixed={'minimax.epoch': 3})", 3, r"sets 'minimax.epoch', which is no field of a trial"),
        ("x = 1\nimport no_such_module", 2, r"ModuleNotFoundError: No module named 'no_such_module'"),
        ("x = 1\ny = (", 2, r"SyntaxError: '\(' was never closed"),
        ("import json\n\njson.loads('{')", 3, r"JSONDecodeError: "),
        ("x = 1\nraise SystemExit(3)", 2, r"it ends the program \(exit code 3\)"),
    ],
)
def test_the_line_of_the_users_file_is_named(write: Callable[..., Path], text: str, line: int, said: str) -> None:
    path = write(text)
    assert re.search(rf"^--plugin {re.escape(str(path))}, line {line}: .*{said}", refused(path))


READER = """
from dataclasses import replace
from pathlib import Path
from trainables.config import ActionData, PrivacyData
from trainables.data.registry import STILL_SETS, VIDEO_SETS, load_stills, load_videos

@VIDEO_SETS.register("mine")
def _(config, root):
    s = load_videos(ActionData(), root)
    first, *rest = s.train
    return {videos}

@STILL_SETS.register("mine")
def _(config, root):
    s = load_stills(PrivacyData(), root)
    first, *rest = s.train
    return {stills}
"""


@pytest.mark.parametrize(
    ("videos", "said"),
    [
        ("None", r"the reader returned None; return VideoSplits"),
        ("{}['path']", r"its reader fails: KeyError: 'path'"),
        ("replace(s, train=(replace(first, label=99), *rest))", r"its label is 99; give a number from 0 to 5"),
        ("replace(s, train=(replace(first, label=-1), *rest))", r"its label is -1; give"),
        ("replace(s, train=(replace(first, label='run'), *rest))", r"its label is 'run'; give"),
        ("replace(s, train=(replace(first, attributes=(1,)), *rest))", r"its attributes are \(1,\); give a tuple of 6"),
        (
            "replace(s, train=(replace(first, attributes=(0.5,) * 6), *rest))",
            r"an attribute is 0.5; give 0 or 1",
        ),
        ("replace(s, train=(replace(first, path=Path('/nowhere/x.avi')), *rest))", r"/nowhere/x.avi is not there"),
        ("replace(s, train=(replace(first, path=first.path.parent), *rest))", r"is a folder without frames"),
        ("replace(s, train=(replace(first, path=str(first.path)), *rest))", r"give a pathlib.Path"),
        ("replace(s, train=list(s.train))", r"train is a list; give a tuple"),
        ("replace(s, classes=s.classes[:1] * 2)", r"classes names '\w+' twice"),
        ("replace(s, train=('a.avi',))", r"a train item is 'a.avi'; give Video"),
        ("replace(s, test=s.train)", r"it is a train item too; an item is in one split only"),
    ],
)
def test_what_a_reader_of_videos_returns_is_checked(
    write: Callable[..., Path], tiny_data: Path, videos: str, said: str
) -> None:
    path = write(READER.replace("{videos}", videos).replace("{stills}", "s"))
    with loaded(path), pytest.raises(DataError, match=rf"^mine \({path} line \d+\): .*{said}"):
        load_videos(ActionData(name="mine"), tiny_data)


@pytest.mark.parametrize(
    ("stills", "said"),
    [
        ("None", r"the reader returned None; return StillSplits"),
        ("replace(s, train=(replace(first, attributes=None), *rest))", r"its attributes are None; give a tuple of 6"),
        ("s", ""),
    ],
)
def test_what_a_reader_of_stills_returns_is_checked(
    write: Callable[..., Path], tiny_data: Path, stills: str, said: str
) -> None:
    path = write(READER.replace("{videos}", "s").replace("{stills}", stills))
    with loaded(path):
        if not said:
            assert load_stills(PrivacyData(name="mine"), tiny_data) == load_stills(PrivacyData(), tiny_data)
            return
        with pytest.raises(DataError, match=rf"^mine \({path} line \d+\): .*{said}"):
            load_stills(PrivacyData(name="mine"), tiny_data)


NETWORKS = """
import torch
from torch import nn
from trainables.methods import METHODS, Method
from trainables.models.action import ACTION_CLASSIFIERS
from trainables.models.anonymizers import ANONYMIZERS, Anonymizer
from trainables.models.classifier import IMAGENET_MEAN, IMAGENET_STD, Backbone
from trainables.models.privacy import PRIVACY_BACKBONES

class Mine(Anonymizer):
    def __init__(self, config):
        super().__init__()
    def forward(self, frames):
        return {frames}

ANONYMIZERS.register("mine")(Mine)
METHODS.register("mine")(Method("mine", fixed={"anonymizer.name": "mine"}))

class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 1)
        self.conv = nn.Conv2d(3, 3, 1)
    def forward(self, x):
        y = self.fc(x.flatten(2).mean(2))
        return {features}

@ACTION_CLASSIFIERS.register("mine")
def _(clip):
    return {backbone}

@PRIVACY_BACKBONES.register("mine")
def _():
    return {backbone}
"""
RIGHT = {"frames": "frames", "features": "y", "backbone": 'Backbone(Network(), "fc", IMAGENET_MEAN, IMAGENET_STD)'}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"frames": "frames[..., ::2, ::2]"}, r"anonymizer 'mine' .* returns \(8, 3, 8, 8\) for \(8, 3, 16, 16\)"),
        ({"frames": "frames.mean(1, keepdim=True)"}, r"return frames of the same shape"),
        ({"frames": "frames * float('nan')"}, r"returns values that are no numbers"),
        ({"frames": "frames * 255"}, r"returns values from \S+ to 25\d; frames are RGB in \[0, 1\]"),
        ({"frames": "frames - 0.5"}, r"returns values from -0.5 to 0.5; frames are RGB in \[0, 1\]"),
        ({"frames": "frames.no_such_thing()"}, r"anonymizer 'mine' .* fails at \S+own_plugin.py line 13: AttributeError"),
        ({"features": "y.mean()"}, r"action_classifier 'mine' \(\S+own_plugin.py line 27\) "),
        ({"features": "y[:1]"}, r"returns \(1, 3\) for \(2, 4, 3, 16, 16\); return one row of features an item"),
        ({"features": "y * float('inf')"}, r"action_classifier .* returns values that are no numbers"),
        ({"backbone": "None"}, r"its network is None; return Backbone\(network, head, mean, std\)"),
        ({"backbone": 'Backbone(Network(), "head", IMAGENET_MEAN, IMAGENET_STD)'}, r"its network has no layer 'head'"),
        ({"backbone": 'Backbone(Network(), "conv", IMAGENET_MEAN, IMAGENET_STD)'}, r"'conv' is Conv2d; name the last torch"),
        ({"backbone": "{}['boom']"}, r"action_classifier 'mine' .* fails at \S+own_plugin.py line 29: KeyError: 'boom'"),
    ],
)
def test_networks_are_tried_before_anything_trains(
    write: Callable[..., Path], tiny_config: TrialConfig, values: dict[str, str], said: str
) -> None:
    text = NETWORKS
    for name, value in {**RIGHT, **values}.items():
        text = text.replace("{" + name + "}", value)
    networks = {"action_classifier.name": "mine", "privacy_encoder.name": "mine", "evaluate_privacy.classifier.name": "mine"}
    with loaded(write(text)):
        config = with_values(tiny_config, {"method": "mine", **networks})
        with pytest.raises(ConfigError, match=said) as found:
            check_weights(config)
    assert "\n" not in str(found.value)


def test_networks_that_keep_their_contracts_pass(write: Callable[..., Path], tiny_config: TrialConfig) -> None:
    text = NETWORKS
    for name, value in RIGHT.items():
        text = text.replace("{" + name + "}", value)
    networks = {"action_classifier.name": "mine", "privacy_encoder.name": "mine", "evaluate_privacy.classifier.name": "mine"}
    with loaded(write(text)):
        check_weights(with_values(tiny_config, {"method": "mine", **networks}))


OWN_STAGE = """
import torch
from trainables.methods import METHODS, Method, MethodOptions, Weight
from trainables.stages import Stage
from trainables.store import Outcome

class Options(MethodOptions):
    pull: Weight = 1.0

def run(context):
    return {outcome}

S = Stage("mine", run, {fields})
METHODS.register("mine")(Method("mine", (S,), anonymizer="mine", options=Options))
"""


def trial(tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path, values: dict[str, Any] | None = None) -> Any:
    config = with_values(tiny_config.model_copy(update={"method": "mine"}), values or {})
    runtime = Runtime(data_root=str(tiny_data), storage=str(tmp_path / "results"), device="cpu")
    return run_trial(config, runtime, SilentReporter())


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        ("None", r"stage 'mine' \(\S+own_plugin.py line 9\) returned None; return an Outcome"),
        ("Outcome({})", r"stage 'mine' .* leaves no anonymizer; return Outcome"),
        ("Outcome({}, [], {'anonymizer': {'x': torch.zeros(3)}})", r"leaves an anonymizer that does not fit unetpp"),
        ("Outcome({'my_figure': 1.0}, [], {})", r"metric 'my_figure', which is not declared"),
        ("Outcome({}, [], {}, {}, (str(context.config.minimax.epochs),))", r"reads minimax, which is not in its key"),
        ("Outcome({}, [], {}, {}, (str(context.data.privacy),))", r"reads the data set privacy, which is not in its key"),
    ],
)
def test_what_a_stage_returns_is_checked(
    write: Callable[..., Path], tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path, outcome: str, said: str
) -> None:
    path = write(OWN_STAGE.replace("{outcome}", outcome).replace("{fields}", "('seed',)"))
    with loaded(path), pytest.raises(ConfigError, match=said):
        trial(tiny_config, tiny_data, tmp_path)


def test_a_figure_that_is_no_number_ends_the_trial_and_is_not_stored(
    write: Callable[..., Path], tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path
) -> None:
    path = write(OWN_STAGE.replace("{outcome}", "Outcome({'top1': float('nan')}, [], {})").replace("{fields}", "('seed',)"))
    for _ in range(2):  # nothing is kept that the second would find
        with loaded(path), pytest.raises(ArithmeticError, match="stage mine: the metric 'top1' is nan, which is no result"):
            trial(tiny_config, tiny_data, tmp_path)


def test_a_stage_that_forgets_a_field_does_not_repeat_old_figures(
    write: Callable[..., Path], tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path
) -> None:
    """With the option among its fields, or with none named, another value is another key; with others named it is refused."""
    read = "Outcome({}, [], {}, {}, (str(Options.of(context.config).pull),))"
    with (
        loaded(write(OWN_STAGE.replace("{outcome}", read).replace("{fields}", "('seed',)"))),
        pytest.raises(ConfigError, match=r"reads options, which is not in its key.*add 'options' to the `fields`"),
    ):
        trial(tiny_config, tiny_data, tmp_path, {"options.pull": 2.0})

    def key(config: TrialConfig, value: float) -> str:
        changed = resolved(with_values(config, {"method": "mine", "options.pull": value}))
        return plan_trial(changed, TrialData(changed, tiny_data)).stages[0].key

    for fields in ("('options.pull',)", "('options',)", ""):
        text = OWN_STAGE.replace("{outcome}", read).replace("{fields}", fields)
        with loaded(write(text)):
            before = key(tiny_config, 1.0)
            assert before == key(tiny_config, 1.0) != key(tiny_config, 2.0)
        with loaded(write(text + "\n# edited\n")):
            assert key(tiny_config, 1.0) != before, "other code is another key too"


def test_what_is_wrong_in_a_space_names_the_space_and_its_line(write: Callable[..., Path]) -> None:
    path = write(
        """
        from search_spaces.registry import SPACES, Space

        SPACES.register("own_space")(Space("m", "?", ({"method": "raw"}, {"minimax.epoch": 3})))
        """
    )
    with loaded(path), pytest.raises(ConfigError, match=rf"^space own_space \({path} line 3\), setting .*'minimax.epoch'"):
        plan_study("own_space", "small", [0], {})


HELPED = """
from own_helper import NAME
from own_package.inner import TWICE
from trainables.methods import METHODS, Method

METHODS.register(NAME)(Method("mine"))

def later():
    import own_lazy
    return own_lazy.THREE * TWICE
"""


@pytest.fixture
def helped(write: Callable[..., Path], tmp_path: Path) -> Path:
    write("from own_other import NAME", "own_helper")
    write("NAME = 'helped'", "own_other")
    write("THREE = 3", "own_lazy")
    write("", "own_package/__init__")
    write("from .deeper import TWO\nTWICE = TWO", "own_package/inner")
    write("TWO = 2", "own_package/deeper")
    return write(HELPED)


def test_modules_beside_a_plugin_travel_with_it(helped: Path, tmp_path: Path) -> None:
    """In another process, where there is no such file: what is imported at once, later, and by what was imported."""
    [plugin] = read_plugins([str(helped)])
    names = ["own_helper", "own_lazy", "own_other", "own_package", "own_package.deeper", "own_package.inner"]
    assert [helper.module for helper in plugin.helpers] == names
    (tmp_path / "plugin.pickle").write_bytes(pickle.dumps(plugin))
    for path in [*tmp_path.glob("*.py"), *tmp_path.glob("own_package/*.py")]:
        path.unlink()
    script = f"""
import pickle, sys
from trainables.plugins import load_plugins
load_plugins([pickle.load(open({str(tmp_path / "plugin.pickle")!r}, "rb"))])
from trainables.methods import METHODS
print("helped" in METHODS, sys.modules["own_plugin"].later())
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False)
    assert ended.stdout.split() == ["True", "6"], ended.stderr


def test_an_edited_helper_is_an_edited_plugin(helped: Path) -> None:
    with loaded(helped):
        assert set(plugin_digests("own_plugin", {})) == {"own_plugin"}
        assert plugin_digests("own_helper", {}) == plugin_digests("own_plugin", {})
        before = plugin_digests("own_plugin", {})
    (helped.parent / "own_other.py").write_text("NAME = 'helped'  # edited")
    with loaded(helped):
        assert plugin_digests("own_plugin", {}) != before


def test_an_error_in_a_helper_names_its_line(helped: Path) -> None:
    (helped.parent / "own_other.py").write_text("\n\nNAME = 1 / 0")
    assert f"{helped.parent}/own_other.py line 3: ZeroDivisionError: division by zero" in refused(helped)


def test_helpers_of_one_name_in_two_folders_are_refused(write: Callable[..., Path]) -> None:
    write("X = 1", "one/own_helper")
    write("X = 2", "two/own_helper")
    plugins = [write("import own_helper", f"{folder}/own_{folder}") for folder in ("one", "two")]
    assert re.search(r"imports \S+two/own_helper.py, but 'own_helper' is \S+one/own_helper.py already", refused(*plugins))


def test_a_plugin_may_import_another(write: Callable[..., Path]) -> None:
    write("from search_spaces.registry import SPACES, Space\nSPACES.register('own_base')(Space('m', '?', ({},)))", "own_base")
    second = write("import own_base", "own_second")
    with loaded(second, second.with_name("own_base.py")):
        pass
    with loaded(second.with_name("own_base.py"), second):
        pass


def test_commands_take_plugins(write: Callable[..., Path], tiny_data: Path, tmp_path: Path, capsys: Any) -> None:
    broken = write("import no_such_module", "own_broken")
    config = tmp_path / "trial.yaml"
    config.write_text("method: raw\n")
    assert main(["--config", str(config), "--out", str(tmp_path / "out"), "--plugin", str(broken)]) == 2
    assert capsys.readouterr().err == (
        f"error: --plugin {broken}, line 1: ModuleNotFoundError: No module named 'no_such_module'\n"
    )
    assert data_main(["check", str(tiny_data), "--plugin", str(broken)]) == 2
    assert "line 1: ModuleNotFoundError" in capsys.readouterr().err
    path = write(READER.replace("{videos}", "s").replace("{stills}", "s"))
    with loaded(path):
        assert data_main(["check", str(tiny_data), "--only", "mine", "--plugin", str(path)]) == 0
    assert re.search(r"mine +.*\d", capsys.readouterr().out)


@pytest.mark.skipif(not CASES.is_dir(), reason=f"needs the plug-ins in {CASES}")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("bad_duplicate", r", line 3: method 'penalty' is registered twice"),
        ("bad_empty", r", line 2: a space with settings = \(\)"),
        ("bad_exit", r", line 1: it ends the program"),
        ("bad_methods", r", line 16: stage 's_m_raise': run = 'bad_methods:raising' is no function"),
        ("bad_fields", r", line 6: ModuleNotFoundError"),  # written for other names: its kind is tested above
    ],
)
def test_the_plugins_that_failed_are_one_line(name: str, said: str) -> None:
    assert re.search(rf"^--plugin {re.escape(str(CASES / name))}.py{said}", refused(CASES / f"{name}.py"))


@pytest.mark.skipif(not CASES.is_dir(), reason=f"needs the plug-ins in {CASES}")
def test_the_readers_that_failed_are_one_line_each(tiny_data: Path) -> None:
    names = ("none", "label", "negative", "attr", "missing", "overlap", "list", "strpath", "half", "dir", "raise")
    with loaded(CASES / "bad_data.py"):
        for name in names:
            with pytest.raises(DataError, match=rf"^d_{name} \({CASES}/bad_data.py line \d+\): ") as found:
                load_videos(ActionData(name=f"d_{name}"), tiny_data)
            assert "\n" not in str(found.value)
        for name, part in (("notest", "test"), ("noval", "validation")):
            config = with_values(TrialConfig(), {"data.action.name": f"d_{name}"})
            with pytest.raises(DataError, match=f"no {part} items"):
                TrialData(config, tiny_data).require()


@pytest.mark.skipif(not CASES.is_dir(), reason=f"needs the plug-ins in {CASES}")
def test_the_plugin_that_is_right_is_planned() -> None:
    with loaded(CASES / "raw_only.py"):
        assert [trial.config.method for trial in plan_study("raw_only", "small", [0], {}).trials] == ["raw"]


def test_a_plugin_of_another_version_is_refused(write: Callable[..., Path]) -> None:
    path = write("X = 1")
    with loaded(path), pytest.raises(ConfigError, match="another version of it is loaded"):
        load_plugins([Plugin("own_plugin", str(path), "X = 2")])
