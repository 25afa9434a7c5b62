"""Videos as other programs read and show them: FFmpeg's own `ffprobe` and `ffmpeg`, and Chromium.

Colours are read at the middles of a grid of `GRID` x `GRID` fields over the upright picture, which is enough for pictures of
flat fields and spares the pictures themselves.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.support.browser import Browser

GRID = 6
HAS_FFMPEG = shutil.which("ffprobe") is not None and shutil.which("ffmpeg") is not None
Levels = NDArray[np.int64]  # (frames, GRID, GRID, 3)

_KINDS = {".mp4": "video/mp4", ".mov": "video/mp4", ".mkv": "video/x-matroska", ".webm": "video/webm"}
# Seeks to each of the given places and waits until the frame of the time that is expected there is shown, or for five seconds.
_PLAY = """(async (content, kind, places, expected, grid) => {
  const video = document.createElement("video");
  video.muted = true;
  video.src = URL.createObjectURL(new Blob([Uint8Array.from(atob(content), (c) => c.charCodeAt(0))], { type: kind }));
  document.body.append(video);
  try {
    await new Promise((done, fail) => { video.onloadeddata = done; video.onerror = () => fail(video.error); });
  } catch (error) {
    video.remove();
    return { error: error.message };
  }
  let shown = -1;
  const note = (_, frame) => { shown = frame.mediaTime; video.requestVideoFrameCallback(note); };
  video.requestVideoFrameCallback(note);
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  const context = canvas.getContext("2d", { willReadFrequently: true }), times = [], levels = [];
  for (const [place, time] of places.map((place, index) => [place, expected[index]])) {
    const sought = new Promise((done) => { video.onseeked = done; });
    video.currentTime = place;
    await sought;
    for (let wait = 0; wait < 500 && Math.abs(shown - time) > 0.001; wait++) await new Promise((done) => setTimeout(done, 10));
    times.push(shown);
    context.drawImage(video, 0, 0, canvas.width, canvas.height);
    const middle = (index, side) => Math.floor(((2 * index + 1) * side) / (2 * grid));
    for (let row = 0; row < grid; row++)
      for (let column = 0; column < grid; column++)
        levels.push(...context.getImageData(middle(column, canvas.width), middle(row, canvas.height), 1, 1).data.slice(0, 3));
  }
  const found = { size: [video.videoHeight, video.videoWidth], seconds: video.duration, times, levels };
  URL.revokeObjectURL(video.src);
  video.remove();
  return found;
})"""


@dataclass(frozen=True)
class Shown:
    """What a player shows. `size`: (height, width) of the upright picture; `times`: seconds of each frame; `levels`: (frames,
    GRID, GRID, 3), 0 to 255; `seconds`: how long it says that all lasts; `said`: what `ffprobe` says of the stream.
    """

    size: tuple[int, int]
    seconds: float
    times: list[float]
    levels: Levels
    said: Mapping[str, Any] = field(default_factory=dict)


def at_grid(picture: NDArray[np.uint8]) -> Levels:
    """(GRID, GRID, 3): the levels in the middles of the fields of a picture (H, W, 3)."""
    rows, columns = ([(2 * index + 1) * side // (2 * GRID) for index in range(GRID)] for side in picture.shape[:2])
    return picture[np.ix_(rows, columns)].astype(np.int64)


def sound_packets(path: Path) -> list[tuple[float, int, str]]:
    """(seconds, bytes, hash of the content) of each packet of sound, as `ffprobe` reads it."""
    packets = _asked(path, "a", "-show_packets", "-show_data_hash", "md5")["packets"]
    return [(float(packet["pts_time"]), int(packet["size"]), packet["data_hash"]) for packet in packets]


def by_ffmpeg(path: Path) -> Shown:
    """The times of all frames that `ffprobe` decodes of the first video stream that is no cover, and their colours as `ffmpeg`
    converts them; a time is NaN where the file has none.
    """
    found = _asked(path, "V:0", "-show_streams", "-show_frames", "-show_format")
    stream = found["streams"][0]
    height, width = int(stream["height"]), int(stream["width"])
    turned = [side.get("rotation", 0) for side in stream.get("side_data_list", ())]
    if any(abs(int(degrees)) % 180 == 90 for degrees in turned):  # ffmpeg turns the pictures upright, ffprobe says how they lie
        height, width = width, height
    command = ["ffmpeg", "-v", "error", "-threads", "1", "-i", str(path), "-map", "0:V:0", "-vsync", "passthrough"]
    command += ["-sws_flags", "bilinear+accurate_rnd+full_chroma_int", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    levels = np.stack([at_grid(one) for one in np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)])
    times = [float(frame.get("pts_time", "nan")) for frame in found["frames"]]
    return Shown((height, width), float(found["format"].get("duration", "nan")), times, levels, stream)


def by_chromium(browser: Browser, path: Path, times: Sequence[float], places: Sequence[float]) -> Shown:
    """What Chromium shows at each of `places` (seconds), where frames of `times` are expected.

    Raises ValueError where it does not play the file, with its reason.
    """
    content = base64.b64encode(path.read_bytes()).decode()
    arguments = json.dumps([content, _KINDS[path.suffix], list(places), list(times), GRID])
    found = browser.evaluate(f"{_PLAY}(...{arguments})")
    if "error" in found:
        raise ValueError(f"{path.name}: {found['error']}")
    levels = np.array(found["levels"], np.int64).reshape(len(times), GRID, GRID, 3)
    return Shown(tuple(found["size"]), found["seconds"], found["times"], levels)


def _asked(path: Path, streams: str, *wanted: str) -> dict[str, Any]:
    command = ["ffprobe", "-v", "error", "-threads", "1", "-select_streams", streams, *wanted, "-of", "json", str(path)]
    return dict(json.loads(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout))
