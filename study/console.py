"""The console command `anonymization`: the commands of all packages as one. `pip install` makes it.

`anonymization study` is `python study/run.py`, `trial` is `python -m trainables`, `data` is `python -m trainables.data`,
`store` is `python -m study.storage`, and the others are those of `python -m analysis`.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import sys
from collections.abc import Sequence

from trainables.versions import project_version

NAME = "anonymization"
# command -> the module with its `main`, and what it does
COMMANDS = {
    "study": ("study.run", "run every trial of a search space, on this machine or a cluster"),
    "trial": ("trainables.__main__", "run one trial, without Ray or MLflow"),
    "data": ("trainables.data.__main__", "check data sets, or make one"),
    "store": ("study.storage", "list, size or delete the stored stages of studies"),
}
OF_RECORDS = {
    "report": "write the report of a study",
    "tables": "the paper's tables with our numbers beside the printed ones",
    "figures": "the paper's figures, and frames",
    "select": "choose a setting by a rule",
    "compare": "two trials on the same test items",
    "evidence": "one page for who decides or audits",
    "audit": "the evidence for an anonymizer that was not trained here",
    "export": "write a trial's anonymizer as ONNX or for PyTorch",
    "verify": "whether an exported model is what its card says",
    "anonymize": "anonymize a video, a folder of videos, or a camera",
}
COMPLETION = "completion"
SHELLS = ("bash", "zsh", "tcsh")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command. Returns what it returns; 2 for a command that there is not."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in COMMANDS:
        command: int = importlib.import_module(COMMANDS[given[0]][0]).main(given[1:], prog=f"{NAME} {given[0]}")
        return command
    if given and given[0] in OF_RECORDS:
        from analysis.__main__ import main as of_records

        return of_records(given, prog=NAME)
    parser = _parser()
    if given and not given[0].startswith("-") and given[0] != COMPLETION:
        known = [*COMMANDS, *OF_RECORDS, COMPLETION]
        near = difflib.get_close_matches(given[0], known, n=2) or known
        parser.error(f"no command {given[0]!r}; did you mean {' or '.join(near)}?")
    options = parser.parse_args(given)
    print(completion(options.shell))
    return 0


def completion(shell: str) -> str:
    """A script by which `shell` completes the commands and their options."""
    import shtab

    from analysis.__main__ import add_commands
    from study import command_line, storage
    from trainables import __main__ as trial
    from trainables.data import __main__ as data

    parser = argparse.ArgumentParser(prog=NAME)
    commands = parser.add_subparsers()
    for name, module in (("study", command_line), ("trial", trial), ("data", data), ("store", storage)):
        module.add_arguments(commands.add_parser(name, help=COMMANDS[name][1]))
    add_commands(commands)
    return str(shtab.complete(parser, shell))


def _parser() -> argparse.ArgumentParser:
    rows = {name: meaning for name, (_, meaning) in COMMANDS.items()} | OF_RECORDS
    parser = argparse.ArgumentParser(
        prog=NAME,
        usage=f"{NAME} COMMAND ...",
        description="A study of how much privacy costs how much action recognition.\n\ncommands:\n"
        + "\n".join(f"  {name:12}{meaning}" for name, meaning in rows.items())
        + f'\n  completion  print a script by which a shell completes them: eval "$({NAME} completion bash)"',
        epilog=f"{NAME} COMMAND --help says more. To begin: {NAME} study --space demo --profile generated --storage demo",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=project_version())
    commands = parser.add_subparsers(required=True, metavar="COMMAND", help=argparse.SUPPRESS)
    commands.add_parser(COMPLETION).add_argument("shell", choices=SHELLS)
    return parser
