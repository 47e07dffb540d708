"""Pictures of every mode and orientation are read as upright RGB; resizing keeps means and proportions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from chronotope.errors import FileProblem, UsageError
from chronotope.media import video

RAMP = np.linspace(0, 255, 24 * 40 * 3).reshape(24, 40, 3).astype(np.uint8)


def test_lossless(tmp_path: Path) -> None:
    """PNG is lossless, JPEG and WebP are close; each file is a video of one frame."""
    for suffix, error in (("png", 0), ("jpg", 4), ("jpeg", 4), ("webp", 8)):
        path = tmp_path / f"a.{suffix}"
        video.write_image(path, RAMP)
        assert np.abs(video.read_image(path).astype(int) - RAMP).max() <= error
        still = video.read(path)
        assert (still.num_frames, still.height, still.width, still.fps, still.seconds) == (1, 24, 40, 1, 1)
        assert video.read(path, fps=24).frames.shape[0] == 1
        info = video.probe(path)
        assert (info.num_frames, info.height, info.width, info.fps, info.variable_frame_rate) == (1, 24, 40, 1, False)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "I;16", "I"])
def test_modes(mode: str, tmp_path: Path) -> None:
    """Grey, palette, 16-bit, transparent and CMYK pictures are read as they look over white."""
    grey = np.tile(np.linspace(0, 255, 32).astype(np.uint8), (8, 1))
    expected = np.repeat(grey[..., None], 3, 2)
    if mode in ("I;16", "I"):
        image = Image.fromarray(grey.astype(np.uint16) * 257 if mode == "I;16" else grey.astype(np.int32) * 257)
    elif mode == "1":
        expected = (expected > 127) * np.uint8(255)
        image = Image.fromarray(expected[..., 0]).convert("1")
    elif mode in ("P", "PA"):
        image = Image.fromarray(grey).convert("P").convert(mode)
    else:
        image = Image.fromarray(expected).convert(mode)
    path = tmp_path / ("a.tif" if mode in ("CMYK", "PA", "I") else "a.png")
    image.save(path)
    assert np.abs(video.read_image(path).astype(int) - expected).max() <= 1


def test_transparency(tmp_path: Path) -> None:
    """Transparency becomes white: in an alpha channel, in palettes, and as a colour key."""
    rgba = np.zeros((8, 8, 4), np.uint8)
    rgba[..., 3] = np.arange(8) * 36
    Image.fromarray(rgba).save(tmp_path / "a.png")
    assert np.abs(video.read_image(tmp_path / "a.png")[0, :, 0].astype(int) - (255 - np.arange(8) * 36)).max() <= 1
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([255, 0, 0, 0, 0, 255])
    palette.save(tmp_path / "b.png", transparency=1)
    assert (video.read_image(tmp_path / "b.png") == 255).all()
    palette.save(tmp_path / "c.gif", transparency=1)
    assert (video.read_image(tmp_path / "c.gif") == 255).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_orientation(orientation: int, suffix: str, tmp_path: Path) -> None:
    """All eight EXIF orientations are read upright, as by Pillow's own function, and probe returns the upright size."""
    smooth = np.asarray(Image.fromarray(RAMP[:3, :5]).resize((40, 24)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{suffix}"
    options: dict[str, Any] = {"quality": 100} if suffix in ("jpg", "webp") else {}
    Image.fromarray(smooth).save(path, exif=exif, **options)
    with Image.open(path) as image:
        upright = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    got, info = video.read_image(path), video.probe(path)
    assert np.array_equal(got, upright)
    assert got.shape == ((40, 24, 3) if orientation > 4 else (24, 40, 3)) == (info.height, info.width, 3)


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tif"])
def test_animations(suffix: str, tmp_path: Path) -> None:
    """Animated pictures are videos with their own times; transparent parts are white."""
    frames = [Image.new("RGB", (16, 8), (40 * index, 20, 200 - 30 * index)) for index in range(5)]
    durations = [100, 200, 50, 300, 150]
    path = tmp_path / f"a.{suffix}"
    options: dict[str, Any] = {} if suffix == "tif" else {"duration": durations}
    frames[0].save(path, save_all=True, append_images=frames[1:], **options)
    info = video.probe(path)
    assert (info.num_frames, info.height, info.width) == (5, 8, 16)
    reds = [int(frame[4, 8, 0]) for frame in video.stream(path)]
    assert np.abs(np.array(reds) - 40 * np.arange(5)).max() <= 6
    if suffix != "tif":
        assert info.variable_frame_rate
        assert info.seconds == pytest.approx(0.8)
        ends = np.cumsum(durations) / 1000
        shown = [int(np.searchsorted(ends, time + 0.001, side="right")) for time in np.arange(16) / 20]
        got = [round(frame[4, 8, 0] / 40) for frame in video.stream(path, fps=20)]
        assert got == shown
        assert info.skipped_frames == 1  # that of 50 ms falls between two of the 7 a second


def test_cover_of_an_animation(tmp_path: Path) -> None:
    """The still picture that an animated PNG shows to programs without animation is no frame of it."""
    red, green, blue = (Image.new("RGB", (16, 8), colour) for colour in ("red", "lime", "blue"))
    for frames, shown in (([green, blue], [(0, 255, 0), (0, 0, 255)]), ([green], [(0, 255, 0)])):
        red.save(tmp_path / "a.png", save_all=True, append_images=frames, default_image=True, duration=[100, 200])
        info = video.probe(tmp_path / "a.png")
        assert info.num_frames == len(frames)
        assert [tuple(frame[0, 0]) for frame in video.stream(tmp_path / "a.png")] == shown
    red.save(tmp_path / "b.png", save_all=True, append_images=[green, blue], default_image=True, duration=[100, 200])
    assert video.probe(tmp_path / "b.png").seconds == pytest.approx(0.3)


def test_targa(tmp_path: Path) -> None:
    """A TGA picture, which has no signature, is told by its suffix."""
    Image.fromarray(RAMP).save(tmp_path / "a.tga")
    assert np.array_equal(video.read_image(tmp_path / "a.tga"), RAMP)


def test_first_frame_of_a_video(tmp_path: Path) -> None:
    """read_image returns the first frame of a video."""
    video.write(tmp_path / "a.mp4", np.stack([RAMP, RAMP[::-1]]), 8, crf=1)
    assert np.abs(video.read_image(tmp_path / "a.mp4").astype(int) - RAMP).mean() < 4


def test_names_do_not_matter(tmp_path: Path) -> None:
    """The format of a file is determined by its bytes, not its name."""
    video.write_image(tmp_path / "a.png", RAMP)
    (tmp_path / "a.png").rename(tmp_path / "a.mp4")
    assert np.array_equal(video.read_image(tmp_path / "a.mp4"), RAMP)


def test_truncated_and_odd_pictures(tmp_path: Path) -> None:
    """A truncated picture and one of floating-point values are refused with one line each."""
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    for suffix in ("png", "jpg", "webp"):
        video.write_image(tmp_path / f"a.{suffix}", noise)
        data = (tmp_path / f"a.{suffix}").read_bytes()
        (tmp_path / f"b.{suffix}").write_bytes(data[: len(data) // 2])
        with pytest.raises(FileProblem, match="cannot be read as a picture"):
            video.read_image(tmp_path / f"b.{suffix}")
    Image.fromarray(noise[..., 0].astype(np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(FileProblem, match="floating-point"):
        video.read_image(tmp_path / "a.tif")


# Sizes


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 60), st.integers(1, 60))
def test_resize_keeps_flat_and_mean(height: int, width: int, tall: int, wide: int) -> None:
    """A flat picture stays flat at any size; one frame is resized like several."""
    frames = np.full((2, height, width, 3), (10, 130, 250), np.uint8)
    resized = video.resize(frames, tall, wide)
    assert resized.shape == (2, tall, wide, 3)
    assert (resized == (10, 130, 250)).all()
    assert np.array_equal(video.resize(frames[0], tall, wide), resized[0])


def test_resize_does_not_alias() -> None:
    """Stripes finer than the new grid become their mean; an enlarged ramp is a ramp."""
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 200
    assert np.abs(video.resize(stripes, 64, 16).astype(int) - 100).max() <= 1
    assert np.abs(video.resize(stripes.transpose(1, 0, 2), 16, 128).astype(int) - 100).max() <= 1
    ramp = np.repeat(np.repeat(np.arange(0, 256, 8, np.uint8)[None, :, None], 4, 0), 3, 2)
    large = video.resize(ramp, 4, 128)[0, :, 0].astype(int)
    assert np.abs(large[8:-8] - (np.arange(128) / 4 - 0.375)[8:-8] * 8).max() <= 1
    assert video.resize(ramp, 4, 32) is ramp


@given(st.integers(1, 200), st.integers(1, 200), st.integers(1, 90), st.integers(1, 90))
def test_fit_never_distorts(height: int, width: int, tall: int, wide: int) -> None:
    """The size is exact, and the scale is the same in both axes up to the rounding of a pixel."""
    ramp = np.zeros((height, width, 3), np.uint8)
    cut, done = video.fit(ramp, tall, wide)
    assert cut.shape == (tall, wide, 3)
    assert "\n" not in done
    if (height, width) != (tall, wide):
        new_width, new_height = map(int, done.split(" scaled to ")[1].split(" ")[0].split("x"))
        scale = max(tall / height, wide / width)
        assert abs(new_height - height * scale) <= 1
        assert abs(new_width - width * scale) <= 1
        assert new_height >= tall
        assert new_width >= wide
    many, _ = video.fit(np.stack([ramp, ramp]), tall, wide)
    assert many.shape == (2, tall, wide, 3)


def test_fit_keeps_the_middle() -> None:
    """The picture is cropped equally on both sides, and the sentence says so."""
    frame = np.zeros((50, 200, 3), np.uint8)
    frame[:, 75:125] = 255
    cut, done = video.fit(frame, 50, 50)
    assert (cut == 255).all()
    assert done == "200x50 scaled to 200x50 and its middle 50x50 kept (75% cut off)"
    assert video.fit(cut, 50, 50)[1] == "50x50 used as it is"
    assert video.fit(cut, 25, 25)[1] == "50x50 scaled to 25x25"


def test_integers_beyond_16_bits_are_refused(tmp_path: Path) -> None:
    for ramp in (np.arange(64) * 30_000_000, np.arange(64) - 5):
        Image.fromarray(ramp.reshape(8, 8).astype(np.int32)).save(tmp_path / "a.tif")
        with pytest.raises(FileProblem, match=r"integers from .* to .*; a picture with 8 or 16 bits"):
            video.read(tmp_path / "a.tif")


def test_lab_and_icons_are_read(tmp_path: Path) -> None:
    """Pillow loads further parts of itself for these, which the guarded child can no longer do while it decodes."""
    Image.new("LAB", (8, 8), (128, 128, 128)).save(tmp_path / "lab.tif")
    assert np.ptp(video.read_image(tmp_path / "lab.tif")) < 12
    Image.new("RGB", (32, 32), (200, 30, 30)).save(tmp_path / "a.ico")
    (tmp_path / "a.ico").rename(tmp_path / "a.png")
    found = video.read(tmp_path / "a.png")
    assert found.frames.shape == (1, 32, 32, 3) and found.fps == 1 and found.frames[0, 9, 9].tolist() == [200, 30, 30]


FRAME = np.zeros((8, 8, 3), np.uint8)


@pytest.mark.parametrize("how", [video.fit, video.resize])
@pytest.mark.parametrize(
    ("value", "height", "width", "sentence"),
    [
        (FRAME, 0, 5, "height must lie between 1 and"),
        (FRAME, 5, -3, "width must lie between 1 and"),
        (FRAME, 5, 10**6, "width must lie between 1 and"),
        (FRAME, 10.7, 5, "height must be a whole number, got 10.7"),
        (FRAME, 5, "a", "width must be a whole number, got 'a'"),
        (FRAME, None, 5, "height must be a whole number, got None"),
        (FRAME[..., 0], 5, 5, "frame must be a numpy array"),
        (FRAME[None, :0], 5, 5, "frames must be a numpy array"),
        (np.full((8, 8, 3), 0.4), 5, 5, "convert it first"),
    ],
)
def test_wrong_sizes_and_frames_are_refused(how: Any, value: Any, height: Any, width: Any, sentence: str) -> None:
    """In use the functions say so themselves; under test the types of arrays and sizes are checked before."""
    inner = getattr(how, "__wrapped__", how)
    with pytest.raises(UsageError, match=sentence):
        inner(value, height, width)


def test_a_narrow_picture_may_become_wider_than_a_file_before_it_is_cut() -> None:
    assert video.fit(np.zeros((1, 1000, 3), np.uint8), 64, 64)[0].shape == (64, 64, 3)


def test_settings_with_numbers_that_json_lacks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="are not JSON"):
        video.write_image(tmp_path / "a.png", FRAME, metadata={"rate": float("nan")})
    assert not list(tmp_path.iterdir())
