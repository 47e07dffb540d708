"""An opened file -> its container and video track in PyAV, with only the formats and decoders that are listed here.

FFmpeg never opens a file or an address: it reads from a file object, its protocols are switched off, and the formats
that name other files (playlists, concatenation lists, numbered pictures) are not in the list.
"""

from __future__ import annotations

import itertools
import os
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

from chronotope.errors import FileProblem
from chronotope.media.files import MAX_VIDEO_PIXELS, MediaFile, check_size, reason

if TYPE_CHECKING:
    import av.codec
    import av.container
    import av.video.codeccontext

__all__ = ["DECODERS", "DEMUXERS", "edit_remarks", "open_video"]

VIDEO_DEMUXERS = """
    mov matroska avi mpegts mpeg mpegvideo flv asf ogg gif apng mxf gxf dv nut nsv rm swf wtv ivf obu av1 h264 hevc vvc
    h261 h263 m4v vc1 vc1test cavsvideo dirac dnxhd mjpeg mjpeg_2000 yuv4mpegpipe 3gp amv bink smk flic roq film_cpk
    ea ipmovie mv avs kux live_flv dhav r3d ser cine ifv mlv pva nuv nc xmv webp
""".split()
PICTURE_DEMUXERS = """
    bmp_pipe dds_pipe dpx_pipe exr_pipe gif_pipe hdr_pipe j2k_pipe jpeg_pipe jpegls_pipe jpegxl_pipe jpegxl_anim
    pam_pipe pbm_pipe pcx_pipe pfm_pipe pgm_pipe pgx_pipe phm_pipe png_pipe ppm_pipe psd_pipe qoi_pipe sgi_pipe
    sunrast_pipe tiff_pipe webp_pipe xbm_pipe xpm_pipe xwd_pipe fits ico
""".split()
SOUND_DEMUXERS = "aac ac3 aiff amr ape au caf dts eac3 flac mp3 wav w64 tta wv".split()  # to say that they hold sound
DEMUXERS = (*VIDEO_DEMUXERS, *PICTURE_DEMUXERS, *SOUND_DEMUXERS)

DECODERS = frozenset(
    """
    8bps aasc aic amv apng apv asv1 asv2 av1 avrn avrp avui binkvideo bmp camstudio camtasia cavs cfhd cinepak
    cljr dds dirac dnxhd dpx dvvideo dxv exr ffv1 ffvhuff fic fits flashsv flashsv2 flic flv fmvc fraps g2m gif h261
    h263 h263i h263p h264 hap hdr hevc hq_hqa hqx huffyuv hymt indeo2 indeo3 indeo4 indeo5 interplayvideo jpeg2000
    jpegls kmvc lagarith libdav1d libvpx libvpx-vp9 libwebp ljpeg loco magicyuv mimic mjpeg mjpegb mpeg1video mpeg2video
    mpeg4 mpegvideo msa1 mscc msmpeg4 msmpeg4v1 msmpeg4v2 msrle mss1 mss2 msvideo1 mszh mts2 mvc1 mvc2 mxpeg notchlc nuv
    pam pbm pcx pfm pgm pgx phm pixlet png ppm prores prosumer psd qdraw qoi qpeg qtrle r10k r210 rawvideo roqvideo rpza
    rv10 rv20 rv30 rv40 rv60 screenpresso sgi sheervideo smackvid smc snow sp5x speedhq sunrast svq1 svq3 targa tdsc
    theora tiff truemotion1 truemotion2 truemotion2rt tscc2 ultimotion utvideo v210 v210x v308 v408 v410 vble vc1
    vc1image vc2 vcr1 vmnc vp3 vp4 vp5 vp6 vp6a vp6f vp7 vp8 vp9 vvc webp wmv1 wmv2 wmv3 wmv3image wnv1 xbm xpm xwd y41p
    ylc yuv4 zerocodec zlib zmbv
    """.split()
)
# FFmpeg tries decoders of sound too when it looks at a file; without them it reads on and on for their parameters.
SOUND_DECODERS = """
    aac ac3 adpcm_ima_wav adpcm_ms alac amrnb amrwb cook dca eac3 flac mp1 mp1float mp2 mp2float mp3 mp3float nellymoser
    opus pcm_alaw pcm_mulaw pcm_s16be pcm_s16le pcm_s24be pcm_s24le pcm_s32be pcm_s32le pcm_s8 pcm_u8 pcm_f32le speex
    truehd vorbis wavpack wmalossless wmapro wmav1 wmav2
""".split()

# Suffixes that FFmpeg weighs together with the first bytes of a file. Others are withheld: by the suffix of a picture
# FFmpeg takes its name for the pattern of a numbered sequence.
SUFFIXES = frozenset(
    """
    .264 .265 .3gp .aac .amv .asf .av1 .avc .avi .dv .flac .flv .gif .h261 .h263 .h264 .h265 .hevc .ivf .m1v .m2ts .m2v
    .m4v .mjpeg .mjpg .mkv .mov .mp3 .mp4 .mpeg .mpg .mts .mxf .nut .obu .ogg .ogv .rm .rmvb .ts .vc1 .vob .wav .webm
    .wmv .y4m
    """.split()
)
ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # FFmpeg's own decoders drop the transparency of WebM
MAX_BOXES = 200  # beside each other in an MP4 file that are looked at
MAX_EDITS = 2**16  # bytes of an edit list that are read
THREADED_PIXELS = 2**16  # of a frame; smaller ones are decoded and converted in one thread, which is faster
MAX_THREADS = 4  # of one decoder; each costs memory


def open_video(
    file: MediaFile, edited: bool = True
) -> tuple[av.container.InputContainer, av.VideoStream, av.VideoCodecContext]:
    """Open a container, the video track that players choose, and its decoder; raise FileProblem for every error.

    The track is the first one that is marked as default, or else the first. Its declared size is checked. With `edited`
    it has the frames that the edit list of an MP4 file shows, otherwise all that are stored.
    """
    import av

    source = file.reader()
    source.name += file.suffix if file.suffix in SUFFIXES else ""
    try:
        container = av.open(
            source,
            "r",
            metadata_errors="replace",
            options={"max_pixels": str(MAX_VIDEO_PIXELS)},
            container_options={
                "format_whitelist": ",".join(DEMUXERS),
                "codec_whitelist": ",".join([*DECODERS, *SOUND_DECODERS]),
                "protocol_whitelist": "none",
                **({} if edited else {"ignore_editlist": "1"}),
            },
            io_open=_refuse,
        )
    except MemoryError:
        raise
    except (av.FFmpegError, OSError, ValueError) as error:
        raise FileProblem(
            f"{file.path} cannot be opened as a video ({reason(error)}): it is cut short or of another kind."
            " A complete file that FFmpeg reads is needed, such as .mp4, .webm, .avi or .gif."
        ) from None
    track = _chosen(container)
    if track is None:
        kinds = ", ".join(sorted({str(track.type) for track in container.streams})) or "nothing"
        raise FileProblem(
            f"{file.path} has no video that can be decoded (it holds: {kinds}); a file with a video track is needed."
        )
    check_size(file, track.codec_context.width, track.codec_context.height)
    return container, track, _decoder(file, track)


def _refuse(name: str, flags: int, options: dict[str, str]) -> Any:
    """Refuse to open a further file that a file names."""
    raise PermissionError(1, "it names another file")


def _chosen(container: av.container.InputContainer) -> av.VideoStream | None:
    """Return the video track that players choose; cover pictures are not video."""
    from av.stream import Disposition

    tracks = [
        track
        for track in container.streams.video
        if track.codec_context is not None and not track.disposition & Disposition.attached_pic
    ]
    preferred = [track for track in tracks if track.disposition & Disposition.default]
    return next(iter([*preferred, *tracks]), None)


def _decoder(file: MediaFile, track: av.VideoStream) -> av.VideoCodecContext:
    """Return the decoder of a track, with its limits; one that shows transparency where the track has it."""
    import av

    context: av.VideoCodecContext = track.codec_context
    if context.codec.name not in DECODERS:
        raise FileProblem(
            f"{file.path} holds video of the codec {context.name}, which is not read here; convert it to H.264 first."
        )
    if track.metadata.get("alpha_mode", track.metadata.get("ALPHA_MODE")) == "1" and context.name in ALPHA_DECODERS:
        context = cast(av.VideoCodecContext, av.CodecContext.create(ALPHA_DECODERS[context.name], "r"))
    context.options = {"max_pixels": str(MAX_VIDEO_PIXELS)}
    small = context.width * context.height < THREADED_PIXELS
    context.thread_count = 1 if small else min(os.cpu_count() or 1, MAX_THREADS)
    return context


# Edit lists of MP4 files (ISO/IEC 14496-12, 8.6.6)


def edit_remarks(file: MediaFile) -> list[str]:
    """Say where the edit list of a video track pauses, holds a frame or changes the speed, which FFmpeg ignores."""
    for start, stop, name in itertools.islice(_boxes(file, 0, file.size), MAX_BOXES):
        if name == b"moov":  # FFmpeg reads the first one
            tracks = itertools.islice(_boxes(file, start, stop), MAX_BOXES)
            shown = (_edits_of_video(file, *place) for *place, kind in tracks if kind == b"trak")
            if all(map(_is_followed, shown)):
                break
            return ["its edit list pauses, holds a frame or changes the speed, which is not followed"]
    return []


def _edits_of_video(file: MediaFile, start: int, stop: int) -> bytes:
    """Return the content of the edit list of a video track; empty where there is none, and for other tracks."""
    inside = {name: place for *place, name in itertools.islice(_boxes(file, start, stop), MAX_BOXES)}
    handler, edits = (
        _first(file, inside.get(outer), inner) for outer, inner in ((b"mdia", b"hdlr"), (b"edts", b"elst"))
    )
    return edits if handler[8:12] == b"vide" else b""


def _first(file: MediaFile, place: list[int] | None, name: bytes) -> bytes:
    """Return the beginning of the content of the first box of a name inside another one."""
    for start, stop, found in itertools.islice(_boxes(file, *place), MAX_BOXES) if place else ():
        if found == name:
            return os.pread(file.descriptor, min(stop - start, MAX_EDITS), start)
    return b""


def _boxes(file: MediaFile, start: int, stop: int) -> Iterator[tuple[int, int, bytes]]:
    """Yield where the content of each box begins and ends, and its name."""
    while start + 8 <= stop:
        head = os.pread(file.descriptor, 16, start)
        if len(head) < 8:
            return
        size, skipped = int.from_bytes(head[:4], "big"), 8
        if size == 1 and len(head) == 16:
            size, skipped = int.from_bytes(head[8:], "big"), 16
        size = size or stop - start  # 0: to the end
        if size < skipped or start + size > stop:
            return
        yield start + skipped, start + size, head[4:8]
        start += size


def _is_followed(edits: bytes) -> bool:
    """Return whether the content of an `elst` box only cuts and orders its media, after a delay at most."""
    row = struct.Struct(">Qqhh" if edits[:1] == b"\x01" else ">Iihh")
    count = min(int.from_bytes(edits[4:8], "big"), max(0, len(edits) - 8) // row.size)
    for place, (_, begin, rate, part) in enumerate(row.iter_unpack(edits[8 : 8 + count * row.size])):
        if (rate, part) != (1, 0) or (begin < 0 and place > 0):
            return False
    return True
