"""The data sets that one trial names in its configuration, by their purpose in the trial."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from trainables.config import ActionData, ConfigError, Contents, ObfuscationConfig, PrivacyData, TrialConfig
from trainables.data.boxes import Boxes, boxes_file, read_boxes
from trainables.data.flaws import Flaw, flaws_of, overlaps
from trainables.data.items import DataError, Still, StillSplits, Video, VideoSplits, digest_of
from trainables.data.of_clips import FRAMES_OF_CLIPS, frames_of_clips
from trainables.data.registry import load_stills, load_videos
from trainables.data.twins import contents_of_twins, find_twins, require_alike
from trainables.schema import KEY_LENGTH, NOTE_ENLARGED, key_of


class TrialData:
    """The data sets of a trial. Each is read from disk when it is first asked for: names and labels, no pixels.

    What `like`, the data of another trial under the same root, has read is not read again.
    """

    def __init__(self, config: TrialConfig, root: str | Path, like: TrialData | None = None) -> None:
        self._data, self._root, self._accept_flaws = config.data, Path(root), config.accept_flaws
        self._videos: dict[tuple[ActionData, Contents, str], VideoSplits] = {} if like is None else like._videos
        self._stills: dict[tuple[PrivacyData, ActionData | None, Contents, str], StillSplits] = (
            {} if like is None else like._stills
        )
        self._boxes: dict[tuple[Path, int], Boxes] = {} if like is None else like._boxes
        self._flaws: dict[int, list[Flaw]] = {} if like is None else like._flaws
        self._sides: dict[int, tuple[int, int] | None] = {} if like is None else like._sides
        self._complete: set[tuple[str, Path, int]] = set()
        self._readable: tuple[str, ...] | None = None  # None: all
        self._reader = ""
        self._twins_in = ""  # the folder of the anonymized videos that are to be read beside the originals

    def only(self, names: Sequence[str], reader: str) -> TrialData:
        """The same data, of which no others can be read than the sets `names`: the code of a stage gets those in its key.

        Reading another one raises ConfigError, which names `reader`.
        """
        part = copy.copy(self)
        part._readable, part._reader = tuple(names), reader
        return part

    def exchanged(self) -> TrialData:
        """The same data, in which every video has its twin below `data.anonymized`.

        Raises DataError where a twin is not there, and where images are no frames of videos.
        """
        if self._data.anonymized is None:
            raise ConfigError("data.anonymized: the method given_videos needs the folder of the anonymized videos; give it")
        part = copy.copy(self)
        part._twins_in = self._data.anonymized
        return part

    def twins(self, name: str) -> str:
        """A hash of what is in the twins of the videos of the data set `name`, by the names of these."""
        splits: VideoSplits | StillSplits = getattr(self.exchanged(), name)
        clips = (item if isinstance(item, Video) else item.clip for item in (*splits.train, *splits.validation, *splits.test))
        return digest_of(contents_of_twins([clip for clip in dict.fromkeys(clips) if clip is not None]))

    def _allow(self, name: str) -> None:
        if self._readable is not None and name not in self._readable:
            raise ConfigError(
                f"{self._reader} reads the data set {name}, which is not in its key, so that changing it would repeat old"
                f" figures; add {name!r} to the `data` of the stage"
            )

    @property
    def action(self) -> VideoSplits:
        self._allow("action")
        return self._read_videos(self._data.action)

    @property
    def privacy(self) -> StillSplits:
        self._allow("privacy")
        return self._read_stills(self._data.privacy, self._data.action)

    @property
    def action_evaluation(self) -> VideoSplits:
        self._allow("action_evaluation")
        return self._read_videos(self._data.action_evaluation)

    @property
    def privacy_evaluation(self) -> StillSplits:
        self._allow("privacy_evaluation")
        return self._read_stills(self._data.privacy_evaluation, self._data.clips_with_attributes)

    @property
    def privacy_test(self) -> StillSplits:
        self._allow("privacy_test")
        return self._read_stills(self._data.test_privacy or self._data.privacy_evaluation, self._data.clips_with_attributes)

    @property
    def clips_with_attributes(self) -> VideoSplits:
        self._allow("clips_with_attributes")
        return self._read_videos(self._data.clips_with_attributes)

    @property
    def attacked(self) -> str:
        """The data set on which attributes are attacked: the action clips where they carry labels, otherwise the images."""
        clips = self._read_videos(self._data.clips_with_attributes)
        return "clips_with_attributes" if clips.attributes else "privacy_evaluation"

    def items(self, name: str) -> tuple[Video | Still, ...]:
        """The items of the data set `name` that evaluators and attackers see."""
        splits: VideoSplits | StillSplits = getattr(self, name)
        return splits.test if name == "privacy_test" else (*splits.train, *splits.validation, *splits.test)

    def resized(self, name: str, size: int) -> bool:
        """Whether videos of the data set `name` are resized where a stage reads them at `size`, judged by its first one."""
        return self._sides_of(getattr(self, name)) not in (None, (size, size))

    def enlarged(self, config: TrialConfig) -> list[str]:
        """What to say of a trial that is evaluated at a size which its videos do not have, judged by the first of each set."""
        found: dict[str, None] = {}
        for splits in (self.action_evaluation, self.clips_with_attributes):
            sides = self._sides_of(splits)
            if config.evaluate_at is not None and sides is not None and max(sides) < config.evaluate_at:
                text = (
                    f"{NOTE_ENLARGED}{config.evaluate_at} pixels, and the videos of {splits.name} have {sides[0]} x {sides[1]}:"
                    " enlarged they show nobody more, so that these are no figures for videos of that size"
                )
                found[text] = None
        return list(found)

    def _sides_of(self, splits: VideoSplits | StillSplits) -> tuple[int, int] | None:
        if id(splits) not in self._sides:
            self._sides[id(splits)] = _sides_of_first(splits)
        return self._sides[id(splits)]

    def boxes(self, settings: ObfuscationConfig, name: str) -> Boxes:
        """The file of people's boxes for the data set `name`. Raises DataError where there is none, or it misses an item."""
        where: ActionData | PrivacyData = (
            self._data.test_privacy or self._data.privacy_evaluation if name == "privacy_test" else getattr(self._data, name)
        )
        if where.name == FRAMES_OF_CLIPS:
            where = self._data.action if name == "privacy" else self._data.clips_with_attributes
        path = boxes_file(settings.boxes, self._root, where.folder)
        if (path, settings.every) not in self._boxes:
            self._boxes[path, settings.every] = read_boxes(path, settings.every)
        boxes = self._boxes[path, settings.every]
        if (name, path, settings.every) not in self._complete:
            boxes.require(self.items(name), getattr(self, name).name)
            self._complete.add((name, path, settings.every))
        return boxes

    def require(self) -> None:
        """Raises DataError if a split that a stage needs is empty, if `data.test_privacy` names an unknown attribute, or for a
        flaw that falsifies figures, unless `accept_flaws` is set.
        """
        evaluated = ("train", "validation", "test")
        needed = {
            "action": ("train",),
            "privacy": ("train",),
            "action_evaluation": evaluated,
            "privacy_evaluation": evaluated if self._data.test_privacy is None else evaluated[:2],
            "privacy_test": ("test",),
        }
        for name, parts in needed.items():
            splits: VideoSplits | StillSplits = getattr(self, name)
            for split in parts:
                if not getattr(splits, split):
                    raise DataError(f"{splits.name}: no {split} items, but it is the data set for {name}; choose another")
        for clips in (self.action, self.action_evaluation):
            if len(clips.classes) < 2:
                raise DataError(f"{clips.name}: one class alone, {''.join(clips.classes)!r}; give clips of another class too")
        for labelled in (self.clips_with_attributes, self.privacy_evaluation, self.privacy_test):
            if long := [attribute for attribute in labelled.attributes if len(key_of(attribute)) > KEY_LENGTH]:
                raise DataError(
                    f"{labelled.name}: the attribute {long[0][:40]!r}... is too long to be recorded; give it a shorter name"
                )
        if self._data.clip_privacy is not None and not self.clips_with_attributes.attributes:
            raise DataError(f"{self.clips_with_attributes.name}: no attributes, but it is data.clip_privacy; choose another")
        if self._data.test_privacy is not None:
            answers = self._data.test_privacy.sources(self.privacy_test.attributes)
            for splits, names in (
                (self.privacy_test, tuple(answers)),
                (self.privacy_evaluation, tuple(name for some in answers.values() for name in some)),
            ):
                if unknown := [name for name in names if name not in splits.attributes]:
                    raise DataError(
                        f"data.test_privacy: {splits.name} has no attribute {unknown[0]!r}, it has"
                        f" {', '.join(splits.attributes)}; set data.test_privacy.attribute_map"
                    )

        self._require_twins()
        falsifying = [] if self._accept_flaws else [flaw for flaw in self.flaws() if flaw.falsifies]
        if falsifying:
            raise DataError(
                f"{falsifying[0].says} ({len(falsifying)} such flaws in all; accept_flaws=true goes on all the same)"
            )

    def _require_twins(self) -> None:
        if self._data.anonymized is None:
            return
        data = self.exchanged()
        if self._data.test_privacy is not None:
            raise DataError("data.test_privacy: not with anonymized videos, which hold no images of it; leave it out")
        _ = data.privacy_evaluation  # says what has no twins
        videos = [video for name in ("action_evaluation", "clips_with_attributes") for video in data.items(name)]
        pairs = {(video.path, video.twin) for video in videos if isinstance(video, Video) and video.twin is not None}
        require_alike(sorted(pairs))

    def flaws(self) -> list[Flaw]:
        """The flaws of the trial's data sets, and files that one of them trains on and one tests on."""
        found: dict[str, Flaw] = {}
        trained: dict[str, tuple[Video | Still, ...]] = {}
        for name in ("action", "privacy", "action_evaluation", "privacy_evaluation", "privacy_test", "clips_with_attributes"):
            splits: VideoSplits | StillSplits = getattr(self, name)
            if id(splits) not in self._flaws:
                self._flaws[id(splits)] = flaws_of(splits)
            found |= {flaw.says: flaw for flaw in self._flaws[id(splits)]}
            if all(splits is not getattr(self, other) for other in trained):
                trained[name] = (*splits.train, *splits.validation)
        tested = {name: getattr(self, name).test for name in ("action_evaluation", "privacy_test")}
        if self.clips_with_attributes is not self.action_evaluation:
            tested["clips_with_attributes"] = self.clips_with_attributes.test
        return [*found.values(), *overlaps(trained, tested)]

    def _read_videos(self, data: ActionData) -> VideoSplits:
        key = (data, self._data.contents, self._twins_in)
        if key not in self._videos:
            read = replace(load_videos(data, self._root), contents=self._data.contents)
            self._videos[key] = self._with_twins(read) if self._twins_in else read
        return self._videos[key]

    def _with_twins(self, splits: VideoSplits) -> VideoSplits:
        parts = (splits.train, splits.validation, splits.test)
        found = find_twins([video for part in parts for video in part], self._root, Path(self._twins_in))
        train, validation, test = (tuple(replace(video, twin=found[video.path]) for video in part) for part in parts)
        return replace(splits, train=train, validation=validation, test=test)

    def _read_stills(self, data: PrivacyData, clips: ActionData) -> StillSplits:
        """The images of `data`, which may be the frames of `clips`."""
        own = data.name == FRAMES_OF_CLIPS
        if self._twins_in and not own:
            raise DataError(
                f"data.privacy.name = {data.name}: anonymized videos hold none of its images; give {FRAMES_OF_CLIPS} instead"
            )
        key = (data, clips if own else None, self._data.contents, self._twins_in)
        if key not in self._stills:
            stills = frames_of_clips(data, self._read_videos(clips)) if own else load_stills(data, self._root)
            self._stills[key] = replace(stills, contents=self._data.contents)
        return self._stills[key]


def _sides_of_first(splits: VideoSplits | StillSplits) -> tuple[int, int] | None:
    """The width and height of the first video of a data set; None where it has none, or one that is no whole file."""
    from trainables.data.decoding.files import File  # decoders, and what they import, only where they are used
    from trainables.data.decoding.index import sides_of

    items: Iterable[Video | Still] = itertools.chain(splits.train, splits.validation, splits.test)
    of_videos = (item for item in items if isinstance(item, Video) or item.frame is not None or item.clip is not None)
    first = next(of_videos, None)
    try:
        return None if first is None or first.path.is_dir() else sides_of(File.at(first.path))
    except DataError:  # whoever reads it says so
        return None
