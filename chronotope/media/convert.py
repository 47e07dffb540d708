"""Decoded frames -> planes of red, green and blue, with the orientation that the file declares.

This runs in the guarded child, so it needs no numpy.
"""

from __future__ import annotations

import contextlib
import math
import struct
from typing import TYPE_CHECKING, Any

from chronotope.errors import FileProblem
from chronotope.media.files import MediaFile, reason
from chronotope.media.planes import Layout, Matrix, Planes

if TYPE_CHECKING:
    import av
    import av.container

__all__ = ["SIZE_TAG", "Converter", "conversion_flags"]

SIZE_TAG = "chronotope_size"  # the true size of a file whose odd size VideoWriter padded to even

# libav converts these formats 2.5 times as fast to planes as to packed RGB, with the same values at even sizes.
PLANAR_FORMATS = frozenset("yuv420p yuvj420p yuv422p yuvj422p yuv444p yuvj444p yuv420p10le nv12".split())


# Transfer characteristics of HDR, by their number in ITU-T H.273
HDR = {16: "PQ, SMPTE ST 2084", 18: "HLG, ARIB STD-B67"}


class Converter:
    """Converts the frames of a file: colours, transparency, rotation, and removal of padding.

    Frames whose longer side is above `max_side` pixels are scaled down to it, by area.
    """

    def __init__(
        self,
        file: MediaFile,
        container: av.container.InputContainer,
        first: av.VideoFrame,
        max_side: int | None = None,
    ) -> None:
        from av.video.reformatter import VideoReformatter

        self.file = file
        self.coded = first.width, first.height
        self.clean = self.coded
        tags = {key.lower(): value for key, value in container.metadata.items()}
        with contextlib.suppress(ValueError):
            width, height = map(int, tags.get(SIZE_TAG, "").split("x"))
            if (width + width % 2, height + height % 2) == self.coded:  # otherwise another tool has resized the file
                self.clean = width, height
        self.matrix = _display_matrix(first)
        self.transposed = abs(self.matrix[1]) > abs(self.matrix[0])
        self.displayed = self.clean if self.transposed else self.clean[::-1]
        self.rotation = round(math.degrees(math.atan2(self.matrix[1], self.matrix[0])) / 90) * 90 % 360
        self.remarks = _remarks(first, self.matrix, self.rotation)
        self.stored, self.shown = self.coded, self.clean  # of the converted frames
        if max_side is not None and max(self.clean) > max_side:
            scale = max_side / max(self.clean)
            self.shown = _scaled(self.clean[0], scale), _scaled(self.clean[1], scale)
            # the padding of an odd size is less than a pixel, so it is scaled with the rest
            self.stored = self.shown[0] + self.shown[0] % 2, self.shown[1] + self.shown[1] % 2
        self.reformatter = VideoReformatter()

    def planes(self, frame: av.VideoFrame) -> Planes:
        """Return the pixels of one frame; a frame of another size is scaled to that of the first, as players do."""
        import av
        from av.video.reformatter import Colorspace

        width, height = self.stored
        scaled = (frame.width, frame.height) != self.stored
        if (frame.width, frame.height) != self.coded:
            self.file.damage.add("its frames change size, and are scaled to {}x{}".format(*self.coded))
        # where a file does not name its colour matrix, players assume BT.709 for large frames and BT.601 for small ones
        unnamed = Colorspace.ITU709 if self.coded[1] >= 720 else Colorspace.ITU601
        name = frame.format.name
        kind, target = "rgb24", "rgb24"
        if name == "pal8" or any(part.is_alpha for part in frame.format.components):
            kind, target = "rgba", "rgba"
        elif name in PLANAR_FORMATS and (not scaled or self.stored != self.coded) and not (width % 2 or height % 2):
            kind, target = "gbrp", "gbrp"
        try:
            converted = self.reformatter.reformat(
                frame,
                width,
                height,
                target,
                src_colorspace=unnamed if frame.colorspace == 2 else None,
                interpolation=conversion_flags(sharp=False, shrink=self.stored != self.coded),
                threads=1,
            )
        except av.FFmpegError as error:
            raise FileProblem(
                f"{self.file.path} holds frames of the format {name}, which cannot be shown ({reason(error)});"
                " convert the video first."
            ) from None
        stride = converted.planes[0].line_size
        layout = Layout(kind, width, height, stride, *self.shown, self.matrix)  # type: ignore[arg-type]
        views = [memoryview(plane) for plane in converted.planes]

        def rows(start: int, stop: int) -> list[memoryview]:
            return [view[start * stride : stop * stride] for view in views]

        return Planes(layout, rows)


def _remarks(first: av.VideoFrame, matrix: Matrix, rotation: int) -> list[str]:
    """Return sentences on what players show and this program does not."""
    remarks = []
    if hdr := HDR.get(int(first.color_trc)):
        remarks.append(
            f"it is HDR ({hdr}) and is read without tone mapping, so its colours and brightness are wrong; "
            "convert it to SDR (BT.709) first"
        )
    if first.interlaced_frame:
        remarks.append("its frames are interlaced, each holds two moments; deinterlace it first (ffmpeg -vf bwdif)")
    asked = math.degrees(math.atan2(matrix[1], matrix[0])) % 360
    if abs((asked - rotation + 180) % 360 - 180) > 1:
        remarks.append(f"it asks to be shown turned by {asked:.0f} degrees, and is read turned by {rotation}")
    return remarks


def _display_matrix(frame: av.VideoFrame) -> Matrix:
    """Return the rotation and mirroring that the file declares, as (a, b, c, d) of x' = ax + cy, y' = bx + dy."""
    try:
        sides: Any = frame.side_data  # raises ValueError where it holds a kind unknown to PyAV
        a, b, _, c, d, *_ = struct.unpack("9i", bytes(sides["DISPLAYMATRIX"]))
        return a, b, c, d
    except (KeyError, ValueError):
        clockwise = round(-frame.rotation / 90) % 4
        turns: list[Matrix] = [(1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0)]
        return turns[clockwise]


def _scaled(side: int, scale: float) -> int:
    return max(1, round(side * scale))


def conversion_flags(sharp: bool, shrink: bool = False) -> int:
    """Return flags for accurate colour conversion; with `shrink`, pixels are averaged by area.

    The defaults of libav darken pixels by 1 of 255 and lose 8 dB in an RGB round trip.
    """
    from av.video.reformatter import Interpolation

    exact = Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
    if shrink:
        return exact | Interpolation.AREA
    return exact | (Interpolation.BICUBIC if sharp else Interpolation.BILINEAR)
