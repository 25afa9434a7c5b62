"""The one console command: it has every command of the packages, says what there is, and lets a shell complete it."""

from __future__ import annotations

import subprocess
import sys
import tomllib

import pytest

from analysis.__main__ import _COMMANDS
from study.console import COMMANDS, OF_RECORDS, completion, main
from tests.support import ROOT
from trainables.versions import project_version


def test_every_command_of_the_packages_is_one_of_the_console() -> None:
    assert OF_RECORDS.keys() == _COMMANDS.keys()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"anonymization": "study.console:main"}
    assert project["version"] == project_version()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["study", "--help"], "usage: anonymization study "),
        (["trial", "--help"], "usage: anonymization trial "),
        (["data", "--help"], "usage: anonymization data "),
        (["store", "prune", "--help"], "usage: anonymization store prune "),
        (["select", "--help"], "usage: anonymization select "),
        (["--version"], f"{project_version()}\n"),
        (["study", "--version"], f"{project_version()}\n"),
    ],
)
def test_each_goes_to_its_own_parser(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith(said)


def test_an_unknown_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["stuyd"])
    assert end.value.code == 2
    assert "no command 'stuyd'; did you mean study?" in capsys.readouterr().err


def test_a_shell_completes_commands_and_options() -> None:
    script = completion("bash")
    for word in (*COMMANDS, *OF_RECORDS, "--retry-failed", "--older-than", "--max"):
        assert word in script, word


def test_help_is_grouped_says_exit_codes_and_loads_neither_torch_nor_ray() -> None:
    code = (
        "import sys\nfrom study.console import main\n"
        "for command in (['study', '--help'], ['report', '--help'], ['--help']):\n"
        "    try:\n        main(command)\n    except SystemExit as end:\n        assert end.code == 0\n"
        "assert not {'torch', 'ray', 'mlflow'} & sys.modules.keys()\n"
    )
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for heading in ("what is studied:", "which of its trials:", "what a trial is given:", "exit codes:", "examples:"):
        assert heading in said
