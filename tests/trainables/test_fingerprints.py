"""What the fingerprint of a data set depends on, beyond what is in its files."""

from __future__ import annotations

from pathlib import Path

from trainables.data.items import Still, StillSplits, Video, VideoSplits


def test_which_frames_of_a_file_an_item_is_are_in_the_fingerprint(tmp_path: Path) -> None:
    file = tmp_path / "a.avi"
    file.write_bytes(b"x")
    spans = (None, (0.0, 1.0), (0.0, 2.0), (1.0, None))
    clips = [VideoSplits("a", ("c",), (), (Video("a", file, 0, "g", None, span),), (), ()).fingerprint for span in spans]
    frames = ((None, 0.5), (1, 0.5), (2, 0.5), (None, 0.2))
    images = [
        StillSplits("a", ("p",), (Still("a", file, (1.0,), "g", frame, None, moment),), (), ()).fingerprint
        for frame, moment in frames
    ]
    assert (len(set(clips)), len(set(images))) == (4, 4)
    names = [StillSplits("a", (name,), (Still("a", file, (1.0,), "g"),), (), ()).fingerprint for name in ("p", "q")]
    assert names[0] != names[1], "the name of an attribute"
