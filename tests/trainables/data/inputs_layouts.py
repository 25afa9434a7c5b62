"""UCF101, HMDB51 and Kinetics as downloads, torchvision, mmaction2 and SPAct's code leave them: the table of layouts."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.support.data_sets import HMDB, NUMBERS, UCF_TEST, UCF_TRAIN, write, write_lines
from tests.support.inputs import Input
from trainables.config import ActionData
from trainables.data.registry import load_videos

# part, class, id, seconds of its beginning and end
CLIPS = [
    (part, label, f"{part[:2]}{label[0]}-_{number}aAbB", number * 7, number * 7 + 10)
    for part, count in (("train", 6), ("val", 2), ("test", 1))
    for label in ("riding a bike", "massaging person's head")
    for number in range(count)
]
NAMES = {"riding a bike": "riding_a_bike", "massaging person's head": "massaging_persons_head"}  # as torchvision writes them
NUMBER = {"massaging person's head": 0, "riding a bike": 1}

Clip = tuple[str, str, str, int, int]


def file_of(clip: Clip) -> str:
    return f"{clip[2]}_{clip[3]:06}_{clip[4]:06}.mp4"


def tables(root: Path, names: Sequence[str] = ("train.csv", "val.csv", "test.csv"), unlabelled: bool = False) -> None:
    """The tables of Kinetics; the one for testing without labels, where `unlabelled`."""
    for part, name in zip(("train", "val", "test"), names, strict=False):
        rows = [f"{label},{own},{start},{end},{part}" for of, label, own, start, end in CLIPS if of == part]
        header = "label,youtube_id,time_start,time_end,split"
        if unlabelled and part == "test":
            header, rows = header.partition(",")[2], [row.partition(",")[2] for row in rows]
        write_lines(root / name, [header, *rows])


def lists(root: Path, kind: str, parts: Sequence[str] = ("train", "val")) -> None:
    """The lists that mmaction2 makes."""
    for part in parts:
        lines = []
        for clip in CLIPS:
            if clip[0] == part:
                name = f"{clip[1].replace(' ', '_')}/{file_of(clip)}"
                frames = f"{name.removesuffix('.mp4')} 3" if kind == "rawframes" else name
                lines.append(f"{frames} {NUMBER[clip[1]]}")
        write_lines(root / f"kinetics400_{part}_list_{kind}.txt", lines)


def place(root: Path, name: Callable[[Clip], str], parts: Sequence[str] = ("train", "val")) -> None:
    """A file for each clip of the parts, at the place that `name` gives for it."""
    for clip in CLIPS:
        if clip[0] in parts:
            write(root / name(clip))


def frames(folder: Path, flow: bool = False) -> None:
    for number in (1, 2, 3):
        write(folder / f"img_0000{number}.jpg")
        for axis in "xy" if flow else "":
            write(folder / f"flow_{axis}_0000{number}.jpg")


def counts(name: str, root: Path, folder: str | None = None) -> str:
    splits = load_videos(ActionData(name=name, folder=folder), root)
    train, test = len(splits.train) + len(splits.validation), len(splits.test)
    paths = {video.path for part in (splits.train, splits.validation, splits.test) for video in part}
    assert len(paths) == train + test, "a file for each"
    assert all(path.exists() for path in paths)
    assert len(splits.classes) == 2
    notes = f"; {splits.notes[0].partition(',')[0]}" if splits.notes else ""
    return f"read: {train} to train and validate, {test} to test{notes}"


def _torchvision(root: Path) -> str:
    place(root / "kinetics", lambda clip: f"{clip[0]}/{NAMES[clip[1]]}/{file_of(clip)}")
    tables(root / "kinetics" / "annotations", ("train.csv", "val.csv"))
    return counts("kinetics", root)


def _torchvision_alone(root: Path) -> str:
    place(root / "kinetics", lambda clip: f"{clip[0]}/{NAMES[clip[1]]}/{file_of(clip)}")
    return counts("kinetics", root)


def _torchvision_interrupted(root: Path) -> str:
    place(root / "kinetics", lambda clip: f"{clip[0]}/{file_of(clip)}")
    tables(root / "kinetics" / "annotations", ("train.csv", "val.csv"))
    return counts("kinetics", root)


def _cvdf(root: Path) -> str:
    place(root / "k400", lambda clip: f"{clip[0]}/{file_of(clip)}", ("train", "val", "test"))
    tables(root / "k400" / "annotations")
    return counts("kinetics", root)


def _deepmind(root: Path) -> str:
    place(root / "kinetics700_2020", lambda clip: f"{clip[0]}/{clip[1]}/{file_of(clip)}", ("train", "val", "test"))
    tables(root / "kinetics700_2020", ("train.csv", "validate.csv", "test.csv"), unlabelled=True)
    return counts("kinetics", root)


def _torrent(root: Path) -> str:
    place(root / "Kinetics-400", lambda clip: f"compress/{clip[0]}_256/{clip[1].replace(' ', '_')}/{file_of(clip)}")
    tables(root / "Kinetics-400", ("kinetics_train.csv", "kinetics_val.csv"))
    return counts("kinetics", root)


def _mmaction(root: Path) -> str:
    base = root / "kinetics400"
    place(base, lambda clip: f"videos_{clip[0]}/{clip[1].replace(' ', '_')}/{file_of(clip)}")
    lists(base, "videos")
    tables(base / "annotations", ("kinetics_train.csv", "kinetics_val.csv", "kinetics_test.csv"), unlabelled=True)
    return counts("kinetics", root)


def _mmaction_lists(root: Path) -> str:
    place(root / "kinetics400", lambda clip: f"videos_{clip[0]}/{clip[1].replace(' ', '_')}/{file_of(clip)}")
    lists(root / "kinetics400", "videos")
    return counts("kinetics", root)


def _mmaction_frames(root: Path) -> str:
    for clip in CLIPS[:16]:
        folder = f"{clip[1].replace(' ', '_')}/{file_of(clip).removesuffix('.mp4')}"
        frames(root / "kinetics400" / f"rawframes_{clip[0]}" / folder, flow=True)
    lists(root / "kinetics400", "rawframes")
    return counts("kinetics", root)


def _data_root_is_the_set(root: Path) -> str:
    place(root, lambda clip: f"{clip[0]}/{clip[1]}/{file_of(clip)}")
    tables(root / "annotations", ("train.csv", "val.csv"))
    return counts("kinetics", root)


def _some_gone(root: Path) -> str:
    place(root / "k600", lambda clip: f"{clip[0]}/{clip[1]}/{file_of(clip)}")
    tables(root / "k600", ("train.csv", "val.csv"))
    (root / "k600" / "train" / CLIPS[0][1] / file_of(CLIPS[0])).unlink()
    write(root / "k600" / "train" / CLIPS[1][1] / file_of(CLIPS[1]), "")
    (root / "k600" / "val" / CLIPS[12][1] / file_of(CLIPS[12])).unlink()
    return counts("kinetics", root)


def _a_class_gone(root: Path) -> str:
    place(root / "k600", lambda clip: f"{clip[0]}/{clip[1]}/{file_of(clip)}", ("train", "val", "test"))
    tables(root / "k600", ("train.csv", "val.csv"))
    for clip in CLIPS[:6]:
        (root / "k600" / "train" / clip[1] / file_of(clip)).unlink()
    return counts("kinetics", root)


def _another_class(root: Path) -> str:
    place(root / "k600", lambda clip: f"{clip[0]}/{clip[1]}/{file_of(clip)}")
    tables(root / "k600", ("train.csv", "val.csv"))
    path = root / "k600" / "train" / CLIPS[0][1] / file_of(CLIPS[0])
    path.rename(root / "k600" / "train" / CLIPS[6][1] / path.name)
    return counts("kinetics", root)


def _two_sets(root: Path) -> str:
    for name in ("kinetics400", "k600"):
        place(root / name, lambda clip: f"{clip[0]}/{clip[1]}/{file_of(clip)}")
    return counts("kinetics", root)


def _one_of_two_sets(root: Path) -> str:
    for name in ("kinetics400", "k600"):
        place(root / name, lambda clip: f"{clip[0]}/{clip[1]}/{file_of(clip)}")
    return counts("kinetics", root, "k600")


def _ucf101(
    root: Path, videos: str, lists_at: str, of: Callable[[str], str] = str, flow: bool = False, frames_of: bool = False
) -> str:
    for name in (*UCF_TRAIN, *UCF_TEST):
        if frames_of:
            frames(root / videos / of(name.removesuffix(".avi")), flow)
        else:
            write(root / videos / of(name))
    write_lines(root / lists_at / "classInd.txt", ["1 Jump", "2 Run"])
    write_lines(root / lists_at / "trainlist01.txt", [f"{name} {NUMBERS[name.split('/')[0]]}" for name in UCF_TRAIN])
    write_lines(root / lists_at / "testlist01.txt", UCF_TEST)
    return counts("ucf101", root)


def _spact(root: Path) -> str:
    for name in (*UCF_TRAIN, *UCF_TEST):
        write(root / "UCF101" / "UCF-101" / name)
    write(root / "ucf101_class_mapping.json", json.dumps({"classes": {"Run": 0, "Jump": 1}}))
    for name, entries in (("labeled", UCF_TRAIN[:4]), ("unlabeled", UCF_TRAIN[4:]), ("test", UCF_TEST)):
        write_lines(root / f"ucf101_{name}.txt", [f"/home/c3-0/datasets/UCF101/data/{entry}" for entry in entries])
    return counts("ucf101", root)


def _hmdb51(root: Path, videos: str, lists_at: str, of: Callable[[str], str] = str, frames_of: bool = False) -> str:
    for label, uses in HMDB.items():
        for name in uses:
            if frames_of:
                frames(root / videos / of(f"{label}/{name}").removesuffix(".avi"), flow=True)
            else:
                write(root / videos / of(f"{label}/{name}"))
        write_lines(root / lists_at / f"{label}_test_split1.txt", [f"{name} {use} " for name, use in uses.items()])
    return counts("hmdb51", root)


_KINETICS = "read: 12 to train and validate, 4 to test"
_UCF = "read: 16 to train and validate, 2 to test"
_HMDB = "read: 7 to train and validate, 2 to test"

INPUTS = [
    Input("UCF101 as its archives unpack", _UCF, lambda root: _ucf101(root, "UCF-101", "ucfTrainTestlist")),
    Input(
        "UCF101 for torchvision: `root` and `annotation_path` beside each other",
        _UCF,
        lambda root: _ucf101(root, "UCF101", "ucfTrainTestlist"),
    ),
    Input("UCF101 of mmaction2: `videos`", _UCF, lambda root: _ucf101(root, "ucf101/videos", "ucf101/annotations")),
    Input(
        "UCF101 of mmaction2: `rawframes` with optical flow",
        _UCF,
        lambda root: _ucf101(root, "ucf101/rawframes", "ucf101/annotations", flow=True, frames_of=True),
    ),
    Input("UCF101 with the lists of SPAct's code: paths of another machine", _UCF, _spact),
    Input("UCF101 with its lists in the data root itself", _UCF, lambda root: _ucf101(root, "UCF-101", ".")),
    Input(
        "HMDB51 as its archives unpack: each class in a folder of its own name",
        _HMDB,
        lambda root: _hmdb51(root, "hmdb51_org", "testTrainMulti_7030_splits", lambda name: f"{name.split('/')[0]}/{name}"),
    ),
    Input(
        "HMDB51 for torchvision: `root` and `annotation_path`",
        _HMDB,
        lambda root: _hmdb51(root, "hmdb51", "test_train_splits"),
    ),
    Input("HMDB51 of mmaction2: `videos`", _HMDB, lambda root: _hmdb51(root, "hmdb51/videos", "hmdb51/annotations")),
    Input(
        "HMDB51 of mmaction2: `rawframes` with optical flow",
        _HMDB,
        lambda root: _hmdb51(root, "hmdb51/rawframes", "hmdb51/annotations", frames_of=True),
    ),
    Input("Kinetics by torchvision's download: class folders and `annotations`", _KINETICS, _torchvision),
    Input("Kinetics for torchvision without tables: class folders", _KINETICS, _torchvision_alone),
    Input("Kinetics by torchvision's download, not yet sorted into classes", _KINETICS, _torchvision_interrupted),
    Input(
        "Kinetics-400 of the cvd foundation: no class folders, labelled test clips",
        "read: 16 to train and validate, 2 to test",
        _cvdf,
    ),
    Input("Kinetics-700-2020 with DeepMind's tables: class names with blanks, test clips unlabelled", _KINETICS, _deepmind),
    Input("Kinetics-400 as the torrent packs it: `compress/train_256`", _KINETICS, _torrent),
    Input("Kinetics of mmaction2: `videos_train`, lists and tables", _KINETICS, _mmaction),
    Input("Kinetics of mmaction2: `videos_train` and lists alone", _KINETICS, _mmaction_lists),
    Input("Kinetics of mmaction2: `rawframes_train` with optical flow", _KINETICS, _mmaction_frames),
    Input("Kinetics where the data root is the set", _KINETICS, _data_root_is_the_set),
    Input(
        "Kinetics of which three videos are gone or empty",
        "read: 10 to train and validate, 3 to test; 3 of 16 listed clips are not there or empty files",
        _some_gone,
    ),
    Input(
        "Kinetics of which all training videos of a class are gone",
        "refused: no training clip is there of 1 of 2 classes, first 'riding a bike'",
        _a_class_gone,
    ),
    Input(
        "Kinetics with a video in the folder of another class than its table says",
        "refused: is of class 'riding a bike', and lies in the folder \"massaging person's head\"",
        _another_class,
    ),
    Input("two Kinetics sets in a data root", "refused: it holds k600 and kinetics400; choose one, for example", _two_sets),
    Input("two Kinetics sets, one chosen by `data.action.folder`", _KINETICS, _one_of_two_sets),
]
