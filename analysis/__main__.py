"""`python -m analysis report --space NAME --out DIR`: the report of a study, from MLflow alone."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; 0 on success, 2 with one line on stderr when the study or the output is not usable."""
    parser = argparse.ArgumentParser(prog="python -m analysis", description="Reads a study from MLflow and reports on it.")
    commands = parser.add_subparsers(dest="command", required=True)
    report = commands.add_parser("report", help="write report.html, front.png, trials.csv and settings.csv")
    report.add_argument("--space", required=True, help="name of the search space")
    report.add_argument("--profile", help="paper, small or generated; may be left out where only one was run")
    report.add_argument("--tracking-uri", help="MLflow store, e.g. sqlite:////abs/mlflow.db; default: MLFLOW_TRACKING_URI")
    report.add_argument("--out", required=True, help="directory for the files; made if absent")
    options = parser.parse_args(arguments)

    # Set before MLflow is imported: a server that is gone is said within seconds, nothing is sent anywhere but to the
    # store, and MLflow's own chatter stays out of the answer.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)

    from analysis.records import AnalysisError, read_study
    from analysis.report import settings_text, write_report
    from analysis.tables import settings_table

    try:
        study = read_study(options.space, options.profile, options.tracking_uri)
        page = write_report(study, options.out)
    except AnalysisError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(settings_text(settings_table(study.trials)))
    if len(study.unfinished):
        print(f"{len(study.unfinished)} runs without a usable result; the report gives their reasons")
    print(f"report: {page}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
