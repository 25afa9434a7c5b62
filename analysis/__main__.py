"""Reports, the paper's tables and its figures, all from MLflow alone: `python -m analysis report|tables|figures --help`."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; 0 on success, 2 with one line on stderr when the study or the output is not usable."""
    options = _parser().parse_args(arguments)

    # Set before MLflow is imported: a server that is gone is said within seconds, nothing is sent anywhere but to the
    # store, and MLflow's own chatter stays out of the answer.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)

    from analysis.records import AnalysisError

    try:
        {"report": _report, "tables": _tables, "figures": _figures}[options.command](options)
    except AnalysisError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m analysis", description="Reads studies from MLflow and reports on them.")
    commands = parser.add_subparsers(dest="command", required=True)
    report = commands.add_parser("report", help="write report.html, front.png, trials.csv and settings.csv")
    report.add_argument("--space", required=True, help="name of the search space")
    report.add_argument("--utility", default="top1", help="metric of the front's upright axis, e.g. top5, deployed_top1")
    report.add_argument("--privacy", default="leakage", help="metric of the front's level axis, e.g. clip_leakage, macro_f1")
    tables = commands.add_parser("tables", help="the paper's tables with our numbers beside the printed ones")
    tables.add_argument("--table", default="all", help="1, 2, 3, 5, 6, 7, 8 or all (the default)")
    tables.add_argument("--format", default="text", choices=("text", "csv", "latex"))
    figures = commands.add_parser("figures", help="the paper's Figures 3 and 5, and frames as in its Figures 2 and 6 to 8")
    figures.add_argument("--figure", required=True, help="3, 5 or frames")
    figures.add_argument("--space", required=True, nargs="+", help="names of search spaces; each gives a figure of its own")
    for command in (report, tables, figures):
        command.add_argument("--profile", help="paper, small or generated; may be left out where only one was run")
        command.add_argument("--tracking-uri", help="MLflow store, e.g. sqlite:////abs/mlflow.db; default: MLFLOW_TRACKING_URI")
    tables.add_argument("--out", help="directory for table1.txt, table2.txt, ...; without it they are printed")
    for command in (report, figures):
        command.add_argument("--out", required=True, help="directory for the files; made if absent")
    return parser


def _report(options: argparse.Namespace) -> None:
    from analysis.plane import Plane
    from analysis.records import read_study
    from analysis.report import front_text, settings_text, write_report
    from analysis.tables import settings_table

    plane = Plane(options.utility, options.privacy)
    study = read_study(options.space, options.profile, options.tracking_uri)
    page = write_report(study, options.out, plane)
    settings = settings_table(study.trials, plane)
    print(settings_text(settings, plane))
    print(front_text(settings, plane))
    if len(study.unfinished):
        print(f"{len(study.unfinished)} runs without a usable result; the report gives their reasons")
    print(f"report: {page}")


def _tables(options: argparse.Namespace) -> None:
    """The sum of the stage-seconds goes to stderr where stdout is to be read by a program."""
    from analysis import paper_tables

    numbers = paper_tables.table_numbers(options.table)
    found = paper_tables.read_tables(numbers, options.profile, options.tracking_uri)
    if options.out:
        for path in paper_tables.write(found, options.format, options.out):
            print(path)
    else:
        print(paper_tables.rendered(found, options.format), end="")
    if options.table == "all":
        said = sys.stdout if options.out or options.format == "text" else sys.stderr
        print(f"all tables: {paper_tables.total_seconds(found).text()}", file=said)


def _figures(options: argparse.Namespace) -> None:
    from analysis.paper_figures import draw, known_figure, save
    from analysis.records import read_study

    which = known_figure(options.figure)
    for space in options.space:
        for drawn in draw(which, read_study(space, options.profile, options.tracking_uri)):
            for path in save(drawn, Path(options.out)):
                print(path)
            for note in drawn.notes:
                print(f"  {note}")


if __name__ == "__main__":
    sys.exit(main())
