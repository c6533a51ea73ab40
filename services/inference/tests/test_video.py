"""MP4 out and in again."""

from pathlib import Path

import av
import numpy as np
import pytest

from edgecore_inference.domain import gate
from edgecore_inference.engine.video import UnreadableVideo, Video, probe_mp4, write_mp4


def moving_square(frames: int, width: int, height: int) -> Video:
    video = np.zeros((frames, height, width, 3), np.uint8)
    for index in range(frames):
        video[index, 8:24, index : index + 16] = (40, 90, 230)
    return video


@pytest.mark.parametrize(
    ("frames", "width", "height", "fps"),
    [(17, 64, 64, 8.0), (5, 128, 96, 23.976), (33, 96, 128, 29.97), (9, 64, 64, 60.0), (1, 64, 64, 8.0)],
)
def test_what_is_written_is_what_is_found(
    tmp_path: Path, frames: int, width: int, height: int, fps: float
) -> None:
    path = tmp_path / "video.mp4"
    write_mp4(moving_square(frames, width, height), fps, path)
    assert gate.problems(probe_mp4(path), gate.Expected(width, height, frames, fps)) == []


def test_colours_survive(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    video = moving_square(5, 64, 64)
    write_mp4(video, 8.0, path)
    with av.open(str(path)) as container:
        first = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert np.abs(first[12:20, 4:12].astype(int) - (40, 90, 230)).max() <= 8


def test_the_index_comes_first(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    write_mp4(moving_square(17, 64, 64), 8.0, path)
    content = path.read_bytes()
    assert 0 < content.find(b"moov") < content.find(b"mdat")


def test_odd_sides_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="65×64: yuv420p needs even sides"):
        write_mp4(np.zeros((5, 64, 65, 3), np.uint8), 8.0, tmp_path / "video.mp4")


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        write_mp4(moving_square(5, 64, 64), 8.0, tmp_path / "absent" / "video.mp4")


@pytest.mark.parametrize("keep", [0, 100, 0.5])
def test_half_a_file_does_not_pass(tmp_path: Path, keep: float) -> None:
    path = tmp_path / "video.mp4"
    write_mp4(np.random.default_rng(0).integers(0, 256, (17, 64, 64, 3), np.uint8), 8.0, path)
    content = path.read_bytes()
    path.write_bytes(content[: keep if isinstance(keep, int) else int(len(content) * keep)])
    try:
        probe = probe_mp4(path)
    except UnreadableVideo:
        return
    assert gate.problems(probe, gate.Expected(64, 64, 17, 8.0))


def test_black_and_flat_do_not_pass(tmp_path: Path) -> None:
    for value, words in ((0, "is black"), (128, "shows one flat colour")):
        write_mp4(np.full((5, 64, 64, 3), value, np.uint8), 8.0, tmp_path / "video.mp4")
        found = gate.problems(probe_mp4(tmp_path / "video.mp4"), gate.Expected(64, 64, 5, 8.0))
        assert found == [words]
