"""Whether a network that nobody trained for it still finds people's joints where they are: utility without a label."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.evaluation.delivered import chosen_of, clips_of
from trainables.execution.context import StageContext
from trainables.models.blazepose import JOINTS, BlazePose
from trainables.schema import ends
from trainables.stages import POSE, RAW_POSE
from trainables.statistics import interval, mean
from trainables.store import Outcome

DATA = "action_evaluation"
SURE = 0.5  # that somebody is there, and that a joint can be seen; as in MediaPipe
NEAR = 0.1  # of the longer side of the box around the joints of the raw frame


def find(context: StageContext) -> Outcome:
    """Leaves `items` (N,), the numbers of the test clips that are looked at, `looked` (N, F), whether a clip has such a frame,
    and `joints` (N, F, 12, 3) of the surest person in each: across, down, in pixels of the video's own frames, and how surely
    the joint can be seen; NaN where nobody is.
    """
    poses, most = BlazePose(SURE, "test_pose"), context.config.attacks.recognised_frames
    rows: list[NDArray[np.float32]] = []
    looked: list[list[bool]] = []
    for clip in clips_of(context, context.anonymizer("anonymizer"), "test", DATA):
        joints = np.full((most, len(JOINTS), 3), math.nan, dtype=np.float32)
        for place, frame in enumerate(clip.frames):
            if people := poses(frame):
                joints[place] = people[0].joints[list(JOINTS)]
        rows.append(joints)
        looked.append([place < len(clip.frames) for place in range(most)])
    found = torch.from_numpy(np.stack(rows)) if rows else torch.empty(0, most, len(JOINTS), 3)
    items = torch.tensor(chosen_of(context, "test", DATA), dtype=torch.long)
    return Outcome({}, state={"items": items, "looked": torch.tensor(looked).reshape(-1, most), "joints": found})


def compare(context: StageContext) -> Outcome:
    """The figures of the anonymized clips beside the raw ones, with the interval of `pose_kept` over sources."""
    raw, now = context.inputs[RAW_POSE].state, context.inputs[POSE.name].state
    items = [context.data.action_evaluation.test[number] for number in raw["items"].tolist()]
    seen, kept = (part.numpy() for part in kept_joints(raw["joints"], now["joints"]))
    with_pose = _has_pose(raw["joints"])
    metrics: dict[str, float] = {"pose_found_raw": float(with_pose[raw["looked"]].double().mean())} if items else {}
    counted = np.flatnonzero(seen > 0)
    if not len(counted):
        return Outcome(metrics, notes=("in no raw test frame is a pose found: what becomes of poses cannot be said",))
    still = _has_pose(now["joints"])[with_pose]
    shares = [float(kept[number] / seen[number]) for number in counted]
    clips = [items[number] for number in counted]
    sure = interval(mean((clip.name for clip in clips), (clip.group for clip in clips), shares))
    metrics |= {"pose_found": float(still.double().mean()), "pose_kept": sure.value, **ends("pose_kept", sure.low, sure.high)}
    found = f"a pose is found in {metrics['pose_found_raw']:.0%} of the raw test frames, and in {metrics['pose_found']:.0%}"
    return Outcome(metrics, notes=(f"{found} of those once they are anonymized; pose_kept speaks of these raw frames",))


def _has_pose(joints: Tensor) -> Tensor:
    """(N, F, J, 3) -> (N, F), whether somebody is in a frame."""
    return ~joints[..., 0].isnan().all(dim=2)


def kept_joints(raw: Tensor, now: Tensor) -> tuple[Tensor, Tensor]:
    """(N, F, J, 3) joints of raw frames and of anonymized ones -> for each clip (N,), how many are seen in its raw frames, and
    how many of these are in the anonymized ones less than `NEAR` of the person away.
    """
    seen = raw[..., 2] > SURE  # NaN is not
    places = raw[..., :2]
    least, largest = places.nan_to_num(nan=math.inf).amin(dim=2), places.nan_to_num(nan=-math.inf).amax(dim=2)
    side = (largest - least).amax(dim=2)
    away = (now[..., :2] - places).norm(dim=3)
    kept = seen & (away < NEAR * side[..., None])
    return seen.sum(dim=(1, 2)), kept.sum(dim=(1, 2))
