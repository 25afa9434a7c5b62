"""What is read from MLflow: reports, the paper's tables and figures, the chosen setting; and what is done with its model.

`python -m analysis report|tables|figures|select|compare|evidence|audit|export|verify|anonymize --help`.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from analysis.deploy.command import add_anonymize
from trainables.versions import project_version

PROGRAM = "python -m analysis"
_EPILOG = """\
exit codes:
  0  it is done
  1  anonymize: frames came out black, or files of a folder failed; verify: something differs;
     audit: a trial did not finish
  2  the study, the model or the output cannot be used; one line says why

examples:
  %(prog)s report --space demo --tracking-uri sqlite:///demo/mlflow.db --out report
  %(prog)s select --space demo --max leakage=50%% --prefer top1
  %(prog)s export --trial RUN_ID --format onnx --out anonymizer.onnx
  %(prog)s anonymize IN.mp4 OUT.mp4 --model anonymizer.onnx
"""


def main(arguments: Sequence[str] | None = None, prog: str = PROGRAM) -> int:
    """Runs a command; 0 on success, 2 with one line on stderr when the study or the output is not usable.

    `anonymize` gives 1 where frames are black or files of a folder failed, `verify` where something differs.
    """
    options = _parser(prog).parse_args(arguments)

    # Set before MLflow is imported: a server that is gone is said within seconds, nothing is sent anywhere but to the
    # store, and MLflow's own chatter stays out of the answer.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)

    from analysis.read.store import AnalysisError

    try:
        _load_plugins(options)
        return _COMMANDS[options.command](options) or 0
    except AnalysisError as error:
        from analysis.terminal import show_error

        show_error(str(error))
        return 2


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Reads studies from MLflow and reports on them.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=project_version())
    add_commands(parser.add_subparsers(dest="command", required=True))
    return parser


def add_commands(commands: Any) -> None:
    """Adds what is done with the records and with a trained anonymizer."""
    report = commands.add_parser(
        "report", help="write report.html, and beside it its figures as PNG and PDF and its tables as CSV"
    )
    report.add_argument(
        "--space", required=True, nargs="+", metavar="NAME", help="search space; several are laid over one another"
    )
    report.add_argument("--profile", nargs="+", help="paper, small or generated: one for all spaces, or one for each")
    report.add_argument("--utility", default="top1", help="metric of the front's upright axis, e.g. top5, deployed_top1")
    report.add_argument("--privacy", default="leakage", help="metric of the front's level axis, e.g. clip_leakage, macro_f1")
    _add_choose_on(report)
    tables = commands.add_parser("tables", help="the paper's tables with our numbers beside the printed ones")
    tables.add_argument("--table", default="all", help="1, 2, 3, 5, 6, 7, 8 or all (the default)")
    tables.add_argument("--format", default="text", choices=("text", "csv", "latex"))
    figures = commands.add_parser("figures", help="the paper's Figures 3 and 5, and frames as in its Figures 2 and 6 to 8")
    figures.add_argument("--figure", required=True, help="3, 5 or frames")
    figures.add_argument("--space", required=True, nargs="+", help="names of search spaces; each gives a figure of its own")
    for command in (tables, figures):
        command.add_argument("--profile", help="paper, small or generated; may be left out where only one was run")
    for command in (report, tables, figures):
        _add_common(command)
    tables.add_argument("--out", help="directory for table1.txt, table2.txt, ...; without it they are printed")
    for command in (report, figures):
        command.add_argument("--out", required=True, help="directory for the files; made if absent")
    _add_select(commands)
    _add_compare(commands)
    _add_evidence(commands)
    _add_audit(commands)
    _add_export(commands)
    _add_verify(commands)
    _add_common(add_anonymize(commands))


def _add_select(commands: Any) -> None:
    select = commands.add_parser("select", help="choose a setting by a rule, say why, and register its anonymizer")
    select.add_argument("--space", required=True, help="name of the search space")
    select.add_argument("--profile", help="paper, small or generated; may be left out where only one was run")
    select.add_argument("--max", action="append", default=[], metavar="METRIC=VALUE", help="at most, e.g. leakage=0.2 or 20%%")
    select.add_argument("--min", action="append", default=[], metavar="METRIC=VALUE", help="at least, e.g. top1=0.7")
    select.add_argument("--prefer", metavar="METRIC", help="the best in this metric among those that meet --max and --min")
    select.add_argument("--knee", action="store_true", help="the knee of the front of (leakage, top1)")
    select.add_argument("--protocol", help="of a study with several: the one to choose in")
    select.add_argument("--where", action="append", default=[], metavar="FIELD=VALUE", help="only trials with this parameter")
    _add_choose_on(select)
    select.add_argument("--force", action="store_true", help="choose even where raw data are not surely above chance")
    select.add_argument("--allow-invalid", action="store_true", help="also settings whose attacks missed a control")
    select.add_argument("--register", metavar="NAME", help="put the median trial's anonymizer into MLflow's model registry")
    _add_common(select)


def _add_choose_on(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--choose-on",
        default="validation",
        choices=("validation", "test"),
        help="data by whose figures settings are chosen; those of test data are reported, and flatter what they chose",
    )


def _add_compare(commands: Any) -> None:
    compare = commands.add_parser("compare", help="two trials on the same test items: how they differ and how sure that is")
    compare.add_argument("--space", required=True, help="name of the search space")
    compare.add_argument("--profile", help="paper, small or generated; may be left out where only one was run")
    compare.add_argument("--trial", required=True, action="append", metavar="RUN_ID", help="give it twice: A, then B")
    compare.add_argument("--metric", action="append", default=[], help="e.g. top1, leakage, worst_leakage, attack.linkage; all")
    _add_common(compare)


def _add_evidence(commands: Any) -> None:
    evidence = commands.add_parser("evidence", help="one page for who decides or audits: what attackers still learn, how sure")
    evidence.add_argument("--trial", required=True, metavar="RUN_ID", help="id of the trial's MLflow run")
    evidence.add_argument("--out", required=True, type=Path, help="directory for evidence.html and evidence.json")
    evidence.add_argument(
        "--at-size",
        metavar="PIXELS",
        help="of the trial that measured the same anonymizer where it works at this size, see --at-size of a study",
    )
    evidence.add_argument(
        "--data-root", metavar="DATA", help="where its data are: test too whether the anonymizer remembers its training clips"
    )
    evidence.add_argument(
        "--storage",
        metavar="STORAGE",
        help="of its study; with --data-root: the same of the action classifier that is stored there",
    )
    _add_common(evidence)


def _add_audit(commands: Any) -> None:
    audit = commands.add_parser("audit", help="the evidence for an anonymizer from elsewhere: a model, or its videos")
    given = audit.add_mutually_exclusive_group(required=True)
    given.add_argument("--model", type=Path, metavar="FILE.onnx", help="a model of float RGB frames (N, 3, H, W) in [0, 1]")
    given.add_argument("--videos", type=Path, metavar="DIR", help="or anonymized videos, named as their originals")
    names = ("--data-root", "--data", "--originals")
    audit.add_argument(*names, type=Path, metavar="DIR", help="original videos with labels of actions and of people")
    audit.add_argument("--layout", metavar="NAME", help="its reader, e.g. clips, folders; default: found out")
    audit.add_argument("--out", required=True, type=Path, metavar="DIR", help="for the page and the records of the study")
    audit.add_argument("--storage", metavar="DIR|URI", help="for the stages; audits on the same data share those of raw video")
    audit.add_argument("--profile", default="small", help="small (the default), paper, or generated: on data that are drawn")
    audit.add_argument("--attacks", default="standard", metavar="NAMES", help="standard (the default), all, or names")
    audit.add_argument("--seeds", default="1", metavar="N|LIST", help="how many seeds, or a list (1)")
    audit.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change one field of the trials")
    audit.add_argument(
        "--plugin", action="append", default=[], metavar="FILE.py", help="what you added: attacks, networks, data sets"
    )


def _add_export(commands: Any) -> None:
    export = commands.add_parser("export", help="write a trial's anonymizer as ONNX, checked against PyTorch, or for PyTorch")
    export.add_argument("--trial", required=True, metavar="RUN_ID", help="id of the trial's MLflow run")
    export.add_argument("--format", default="onnx", choices=("onnx", "torch"))
    sizes = export.add_mutually_exclusive_group()
    sizes.add_argument("--size", metavar="HxW", help="for frames of one size, e.g. 240x320")
    sizes.add_argument("--dynamic", action="store_true", help="for frames of any size (the default)")
    export.add_argument(
        "--precision", default="float32", choices=("float32", "int8"), help="int8: faster on a CPU, near the original only"
    )
    export.add_argument("--calibrate", type=Path, metavar="VIDEO", help="of int8: frames that set its ranges; default: noise")
    export.add_argument("--out", required=True, type=Path, metavar="FILE")
    export.add_argument("--overwrite", action="store_true")
    _add_common(export)


def _add_verify(commands: Any) -> None:
    verify = commands.add_parser("verify", help="whether an exported model is what its card says, and still computes it")
    verify.add_argument("model", type=Path, metavar="MODEL.onnx")
    verify.add_argument("--card", type=Path, metavar="FILE", help="its model card (default: MODEL.onnx.card.json)")
    verify.add_argument("--data-root", type=Path, metavar="DIR", help="the data of its figures: some are measured again")
    verify.add_argument("--storage", metavar="DIR|URI", help="that of its study, whose trained classifier is tested again")
    verify.add_argument(
        "--plugin", action="append", default=[], metavar="FILE.py", help="what you added: methods, networks, data sets"
    )


def _add_common(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--plugin", action="append", default=[], metavar="FILE.py", help="what you added: sections, metrics, attacks, networks"
    )
    command.add_argument("--tracking-uri", help="MLflow store, e.g. sqlite:////abs/mlflow.db; default: MLFLOW_TRACKING_URI")


def _report(options: argparse.Namespace) -> None:
    from analysis.read.store import AnalysisError
    from analysis.report import ReportOptions, report_studies

    profiles = options.profile or [None]
    if len(profiles) not in (1, len(options.space)):
        raise AnalysisError(f"--profile: {len(profiles)} for {len(options.space)} spaces; give one, or one for each")
    if len(profiles) == 1:
        profiles *= len(options.space)
    pairs = list(zip(options.space, profiles, strict=True))
    if len(set(pairs)) < len(pairs):
        raise AnalysisError(f"--space: a study is named twice ({' '.join(options.space)}); give each once")
    page = report_studies(
        ReportOptions(pairs, options.out, options.tracking_uri, options.utility, options.privacy, options.choose_on)
    )
    print(f"report: {page}")


def _tables(options: argparse.Namespace) -> None:
    """The sum of the stage-seconds goes to stderr where stdout is to be read by a program."""
    from analysis.paper import table, tables, wording

    numbers = table.table_numbers(options.table)
    found = table.read_tables(numbers, options.profile, options.tracking_uri)
    if options.out:
        for path in tables.write(found, options.format, options.out):
            print(path)
    else:
        print(tables.rendered(found, options.format), end="")
    if options.table == "all":
        said = sys.stdout if options.out or options.format == "text" else sys.stderr
        print(f"all tables: {wording.stage_seconds_line(table.total_seconds(found))}", file=said)


def _figures(options: argparse.Namespace) -> None:
    from analysis.paper.figures import draw, known_figure, save
    from analysis.read.study import read_study

    which = known_figure(options.figure)
    for space in options.space:
        for drawn in draw(which, read_study(space, options.profile, options.tracking_uri)):
            for path in save(drawn, Path(options.out)):
                print(path)
            for note in drawn.notes:
                print(f"  {note}")


def _select(options: argparse.Namespace) -> None:
    from analysis.deploy.choice_text import choice_text
    from analysis.deploy.select import choose, parse_rule
    from analysis.read.study import read_study

    rule = parse_rule(options.max, options.min, options.prefer, options.knee, options.choose_on)
    study = read_study(options.space, options.profile, options.tracking_uri)
    choice = choose(study, rule, options.protocol, options.where, options.allow_invalid, options.force)
    print(choice_text(choice))
    if options.register:
        from analysis.deploy.register import register

        print(register(choice, options.register))


def _compare(options: argparse.Namespace) -> None:
    from analysis.measure.compare import compare_trials, text
    from analysis.read.store import AnalysisError
    from analysis.read.study import read_study

    if len(options.trial) != 2:
        raise AnalysisError(f"--trial: given {len(options.trial)} times; give it twice, for the two trials to compare")
    study = read_study(options.space, options.profile, options.tracking_uri)
    first, second = options.trial
    print(text(study, first, second, compare_trials(study, first, second, options.metric)))


def _evidence(options: argparse.Namespace) -> None:
    from analysis.read.store import AnalysisError
    from analysis.report.evidence.gather import read_evidence, with_membership
    from analysis.report.evidence.membership import classifier_remembers, remembers
    from analysis.report.evidence.output import write_evidence
    from search_spaces.plan import parse_side
    from trainables.config import ConfigError

    at_size = None
    if options.at_size is not None:
        try:
            at_size = parse_side(options.at_size)
        except ConfigError as error:
            raise AnalysisError(str(error)) from None
    if options.storage is not None and options.data_root is None:
        raise AnalysisError("--storage: what the stored action classifier remembers is told from its data; add --data-root")
    evidence = read_evidence(options.trial, options.tracking_uri, at_size)
    if options.data_root is not None:
        known = evidence.trial["run"], evidence.config, evidence.record, options.data_root
        of_f_t = None if options.storage is None else classifier_remembers(*known, options.storage, options.tracking_uri)
        evidence = with_membership(evidence, remembers(*known, options.tracking_uri), of_f_t)
    for line in evidence.lines:
        print(line)
    print(f"evidence: {write_evidence(evidence, options.out)}")


def _audit(options: argparse.Namespace) -> int:
    from analysis.audit import Audit, audit

    asked = Audit(
        out=options.out,
        model=options.model,
        videos=options.videos,
        data_root=options.data_root,
        layout=options.layout,
        storage=options.storage,
        profile=options.profile,
        attacks=options.attacks,
        seeds=options.seeds,
        settings=tuple(options.set),
        plugins=tuple(options.plugin),
    )
    return audit(asked)


def _export(options: argparse.Namespace) -> None:
    from analysis.deploy.export import export_trial
    from analysis.deploy.measured import parse_size

    size = parse_size(options.size) if options.size else None
    asked = (options.trial, options.out, options.format, size, options.tracking_uri, options.overwrite, options.precision)
    print(export_trial(*asked, options.calibrate))


def _verify(options: argparse.Namespace) -> int:
    from analysis.deploy.verify import failed, report, verify

    found = verify(options.model, options.card, options.data_root, options.storage)
    print(report(found))
    return 1 if failed(found) else 0


def _anonymize(options: argparse.Namespace) -> int:
    from analysis.deploy.command import run

    return run(options)


def _load_plugins(options: argparse.Namespace) -> None:
    from analysis.read.store import AnalysisError
    from trainables.config import ConfigError
    from trainables.plugins import load_named

    try:
        load_named(options.plugin)
    except ConfigError as error:
        raise AnalysisError(str(error)) from None


_COMMANDS: dict[str, Callable[[argparse.Namespace], int | None]] = {
    "report": _report,
    "tables": _tables,
    "figures": _figures,
    "select": _select,
    "compare": _compare,
    "evidence": _evidence,
    "audit": _audit,
    "export": _export,
    "verify": _verify,
    "anonymize": _anonymize,
}

if __name__ == "__main__":
    sys.exit(main())
