"""Video out in every format and in again; pictures as JPEG."""

import io
from pathlib import Path

import av
import numpy as np
import pytest

from edgecore_inference.domain import gate
from edgecore_inference.domain.formats import FORMATS
from edgecore_inference.media.decode import UnreadableVideo, pictures, probe
from edgecore_inference.media.encode import write_video
from edgecore_inference.media.frames import Video
from edgecore_inference.media.jpeg import small_jpeg

every_format = pytest.mark.parametrize("name", FORMATS)


def moving_square(frames: int, width: int, height: int) -> Video:
    video = np.zeros((frames, height, width, 3), np.uint8)
    for index in range(frames):
        video[index, 8:24, index : index + 16] = (40, 90, 230)
    return video


def written(tmp_path: Path, name: str, video: Video, fps: float = 8.0) -> Path:
    path = tmp_path / f"video.{name}"
    _, height, width, _ = video.shape
    write_video(video, width, height, fps, name, path)
    return path


@every_format
@pytest.mark.parametrize(
    ("frames", "width", "height", "fps"),
    [(17, 64, 64, 8.0), (5, 128, 96, 23.976), (33, 96, 128, 29.97), (9, 64, 64, 60.0), (1, 64, 64, 8.0)],
)
def test_what_is_written_is_what_is_found(
    tmp_path: Path, name: str, frames: int, width: int, height: int, fps: float
) -> None:
    found = probe(written(tmp_path, name, moving_square(frames, width, height), fps), name)
    assert gate.problems(name, found, gate.Expected(width, height, frames, fps)) == []
    assert found.motion > 0.1 or frames == 1


@every_format
def test_colours_survive(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, name, moving_square(5, 64, 64))
    first = next(pictures(path, name))
    assert np.abs(first[12:20, 4:12].astype(int) - (40, 90, 230)).max() <= 8


def test_a_shape_as_bright_as_its_ground_is_told_from_a_flat_colour(tmp_path: Path) -> None:
    video = np.full((9, 64, 64, 3), 100, np.uint8)
    assert probe(written(tmp_path, "mp4", video), "mp4").variation < 1
    video[:, 20:40, 20:40] = (40, 110, 200)  # the same luma, 99
    assert probe(written(tmp_path, "mp4", video), "mp4").variation > 10


@every_format
def test_the_same_frames_make_the_same_pictures_again(tmp_path: Path, name: str) -> None:
    video = moving_square(9, 64, 64)
    back = np.stack(list(pictures(written(tmp_path, name, video), name)))
    assert back.shape == video.shape
    assert np.abs(back.astype(int) - video).mean() < 3


def test_the_index_comes_first(tmp_path: Path) -> None:
    content = written(tmp_path, "mp4", moving_square(17, 64, 64)).read_bytes()
    assert 0 < content.find(b"moov") < content.find(b"mdat")


def test_prores_is_422_hq(tmp_path: Path) -> None:
    with av.open(str(written(tmp_path, "prores", moving_square(5, 64, 64)))) as container:
        context = container.streams.video[0].codec_context
        assert (context.profile, context.codec_tag) == ("HQ", "apch")


def test_odd_sides_are_refused(tmp_path: Path) -> None:
    odd = np.zeros((5, 63, 64, 3), np.uint8)
    with pytest.raises(ValueError, match="64×63: yuv420p needs even sides"):
        written(tmp_path, "webm", odd)
    with pytest.raises(ValueError, match="63×64: yuv422p10le needs even sides"):
        written(tmp_path, "prores", odd.transpose(0, 2, 1, 3))
    assert probe(written(tmp_path, "prores", moving_square(5, 64, 63)), "prores").height == 63


@every_format
def test_a_folder_that_is_not_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(OSError, match="No such file"):
        written(tmp_path / "absent", name, moving_square(5, 64, 64))


@every_format
@pytest.mark.parametrize("keep", [0, 100, 0.5])
def test_half_a_file_does_not_pass(tmp_path: Path, name: str, keep: float) -> None:
    path = written(tmp_path, name, np.random.default_rng(0).integers(0, 256, (17, 64, 64, 3), np.uint8))
    content = path.read_bytes()
    path.write_bytes(content[: keep if isinstance(keep, int) else int(len(content) * keep)])
    try:
        assert gate.problems(name, probe(path, name), gate.Expected(64, 64, 17, 8.0))
    except UnreadableVideo:
        return


@every_format
def test_what_is_no_video_is_said_so(tmp_path: Path, name: str) -> None:
    path = tmp_path / "video"
    path.write_bytes(b"not a video at all" * 100)
    with pytest.raises(UnreadableVideo, match=f"{name} decodes: no, "):
        probe(path, name)


@every_format
def test_black_does_not_pass_and_another_flat_colour_does(tmp_path: Path, name: str) -> None:
    for value, words in ((0, ["content: is black (mean 0.0, not over 4)"]), (128, [])):
        path = written(tmp_path, name, np.full((5, 64, 64, 3), value, np.uint8))
        assert gate.problems(name, probe(path, name), gate.Expected(64, 64, 5, 8.0)) == words


@every_format
def test_a_lone_star_in_the_night_passes(tmp_path: Path, name: str) -> None:
    night = np.zeros((5, 64, 64, 3), np.uint8)
    night[:, 30:32, 30:32] = 255
    found = probe(written(tmp_path, name, night), name)
    assert gate.problems(name, found, gate.Expected(64, 64, 5, 8.0)) == []


@pytest.mark.parametrize(("width", "height", "small"), [(64, 80, (64, 80)), (1280, 720, (853, 480))])
def test_a_picture_becomes_a_small_jpeg(width: int, height: int, small: tuple[int, int]) -> None:
    picture = np.full((height, width, 3), (40, 90, 230), np.uint8)
    picture[: height // 2] = (200, 60, 20)
    data, *sides = small_jpeg(picture)
    assert tuple(sides) == small
    with av.open(io.BytesIO(data), format="jpeg_pipe") as container:
        [back] = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert back.shape == (small[1], small[0], 3)
    assert np.abs(back[5, 5].astype(int) - (200, 60, 20)).max() < 12
    assert np.abs(back[-5, -5].astype(int) - (40, 90, 230)).max() < 12
