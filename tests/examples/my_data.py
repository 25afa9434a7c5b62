"""A data set of one's own: `<root>/mine/<camera>/<action>-<number>.avi`; camera `test` is for testing."""

from pathlib import Path

from trainables.config import ActionData
from trainables.data.items import DataError, Video, VideoSplits
from trainables.data.registry import VIDEO_SETS
from trainables.data.validation import hold_out_validation


@VIDEO_SETS.register("my_cameras")
def read(config: ActionData, root: Path) -> VideoSplits:
    paths = sorted(root.glob("mine/*/*.avi"))
    if not paths:
        raise DataError(f"{root / 'mine'}: no videos; put them at mine/<camera>/<action>-<number>.avi")
    classes = tuple(sorted({path.stem.split("-")[0] for path in paths}))
    videos = [
        Video(f"{path.parent.name}/{path.name}", path, classes.index(path.stem.split("-")[0]), group=path.parent.name)
        for path in paths
    ]
    train = tuple(video for video in videos if video.group != "test")
    test = tuple(video for video in videos if video.group == "test")
    return hold_out_validation(VideoSplits(config.name, classes, (), train, (), test), config.validation_fraction)
