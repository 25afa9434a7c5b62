"""A study on clips alone: f_B learns from frames of the clips, and no data set of images is needed."""

from __future__ import annotations

from trainables.config import PrivacyData
from trainables.data.items import DataError, Still, StillSplits, Video, VideoSplits
from trainables.data.readers.common import refuse_unknown

FRAMES_OF_CLIPS = "frames_of_clips"  # the name of the data set
_MOMENTS = (0.2, 0.5, 0.8)  # of a clip, of which the frames are images


def frames_of_clips(config: PrivacyData, clips: VideoSplits) -> StillSplits:
    """Three frames of every clip as images, with the attributes, the group and the split of their clip.

    Raises DataError for clips without attributes: nobody could measure what leaks.
    """
    if not clips.attributes:
        raise DataError(
            f"{clips.name}: its clips carry no private attributes, so {FRAMES_OF_CLIPS} has nothing to measure; add columns to"
            " clips.csv or clip_attributes.csv, or choose images as data.privacy.name"
        )
    wanted = clips.attributes if isinstance(config.attributes, str) else config.attributes
    refuse_unknown(wanted, clips.attributes, clips.name)
    columns = [clips.attributes.index(name) for name in wanted]

    def stills(videos: tuple[Video, ...]) -> tuple[Still, ...]:
        return tuple(
            Still(f"{video.name}#{moment}", video.path, _chosen(video, columns), video.group, clip=video, moment=moment)
            for video in videos
            for moment in _MOMENTS
        )

    parts = (stills(clips.train), stills(clips.validation), stills(clips.test))
    return StillSplits(FRAMES_OF_CLIPS, tuple(wanted), *parts, published=clips.published)


def _chosen(video: Video, columns: list[int]) -> tuple[float, ...]:
    if video.attributes is None:
        raise DataError(f"{video.name}: no labels of its private attributes; label it")
    return tuple(video.attributes[column] for column in columns)
