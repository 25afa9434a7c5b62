"""The command `anonymize`: its options, and what they come to. What takes long to import is imported when it runs."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Any


def add_anonymize(commands: Any) -> Any:
    """Adds the command with its own options, and returns its parser."""
    make = commands.add_parser("anonymize", help="anonymize a video, a folder of videos, or a camera")
    make.add_argument(
        "input",
        help="video file, folder (all videos in it), address such as rtsp://HOST/PATH or /dev/video0, or - for standard input",
    )
    make.add_argument(
        "output", type=Path, help="video file, - for standard output (Matroska), or folder, which is taken up where it was left"
    )
    make.add_argument("--model", required=True, help="FILE.onnx, FILE.pt, models:/NAME/VERSION or the id of a trial's run")
    make.add_argument(
        "--size",
        metavar="HxW|native",
        help="let the network work at this size, or at the video's own; default: that at which the model was measured, the only"
        " one that its figures hold for",
    )
    make.add_argument(
        "--dial", type=float, metavar="AT", help="of a model of the method `dial`: where it is to stand, from 0 to 1"
    )
    make.add_argument(
        "--batch", type=int, default=8, help="frames at a time (8); on a CPU side by side, 1 lets all cores share a frame"
    )
    make.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    make.add_argument("--side-by-side", action="store_true", help="the raw frames at the left of the anonymized ones")
    make.add_argument("--keep-audio", action="store_true", help="copy the sound; a voice may tell who speaks")
    make.add_argument("--codec", help="encoder of PyAV, e.g. ffv1 (lossless); default libx264, or mpeg4 where it is not there")
    ends = make.add_mutually_exclusive_group()
    make.add_argument("--from", type=float, dest="start", metavar="SECOND", help="begin at this second of the input")
    ends.add_argument("--to", type=float, dest="end", metavar="SECOND", help="end at this second of the input")
    ends.add_argument("--seconds", type=float, help="stop after so much video; a camera otherwise goes on until Ctrl-C")
    for name, what in (("--black", "always black"), ("--leave", "left RAW, for what shows nobody, such as a clock")):
        make.add_argument(
            name,
            action="append",
            default=[],
            metavar="LEFT,TOP,WIDTH,HEIGHT|MASK.png",
            help=f"a part of the picture that is {what}: a box, or what is white in a PNG file of the size of the upright"
            " video; may be given several times",
        )
    make.add_argument("--overwrite", action="store_true")
    make.add_argument(
        "--ray",
        nargs="?",
        const="",
        metavar="ADDRESS",
        help="of a folder: as many videos at once as there are CPUs or GPUs, on the Ray cluster at HOST:6379 or RAY_ADDRESS, or"
        " on this machine",
    )
    return make


def run(options: argparse.Namespace) -> int:
    """Runs the command; returns its exit code. Raises AnalysisError where nothing can be made."""
    from analysis.deploy.anonymize import anonymize
    from analysis.deploy.load import model_file, open_model, turned
    from analysis.deploy.measured import parse_size
    from analysis.deploy.video import VideoOptions, part_of_text
    from analysis.deploy.video_input import PIPE
    from analysis.read.store import AnalysisError
    from trainables.signals import heeding, interrupt

    if options.batch < 1:
        raise AnalysisError(f"--batch {options.batch}: give at least 1")
    native = options.size == "native"
    size = parse_size(options.size) if options.size and not native else None
    chosen = VideoOptions(
        size="native" if native else size,
        batch=options.batch,
        side_by_side=options.side_by_side,
        keep_audio=options.keep_audio,
        overwrite=options.overwrite,
        codec=options.codec,
        start=options.start,
        end=options.end,
        seconds=options.seconds,
        black=tuple(part_of_text("--black", part) for part in options.black),
        leave=tuple(part_of_text("--leave", part) for part in options.leave),
    )
    say = partial(print, flush=True, file=sys.stderr if str(options.output) == PIPE else None)
    source, output, work = options.input, options.output, None
    with model_file(options.model, options.tracking_uri) as file:
        on_ray = options.ray is not None
        model = turned(open_model(file, "cpu" if on_ray else options.device), options.dial, options.model)
        if model.size and (native or (size and model.size != size)):
            raise AnalysisError(
                f"--size {options.size}: this model takes {model.size[0]}x{model.size[1]} only; leave --size out"
            )
        try:
            with heeding(interrupt):
                if on_ray:
                    from analysis.deploy import archive

                    source, output = archive.places(source, output)
                    given = archive.ModelFile(file, options.device, options.dial)
                    work = archive.on_ray(output, given, chosen, options.ray, say)
                return anonymize(source, output, model, chosen, say, work)
        except KeyboardInterrupt:
            print("stopped: nothing of the video in work was written, those finished before it are kept", file=sys.stderr)
            return 130
