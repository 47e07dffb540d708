"""Files that are made to mislead a decoder: handmade ones, and seeded mutations of small real ones.

The corpus test (`test_hostile.py`) reads some of them, and `benchmarks/hostile_media.py` thousands.
"""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from tests.media.files import encode, numbered

__all__ = ["handmade", "mutate", "seeds"]

# Pictures


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, body: bytes = b"", *, before: bytes = b"", depth: int = 8, colour: int = 2) -> bytes:
    """Return a PNG with these numbers in its header; `body` is its compressed data."""
    header = _png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + before + _png_chunk(b"IDAT", body) + _png_chunk(b"IEND", b"")


def _zeros(count: int) -> bytes:
    """Return `count` zeros, compressed by 1000."""
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(min(2**20, count - at))) for at in range(0, count, 2**20)) + packer.flush()


def _webp(width: int, height: int) -> bytes:
    body = b"VP8L" + struct.pack("<I", 10) + b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14) + bytes(5)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def _gif(width: int, height: int, frames: int) -> bytes:
    picture = b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02\x44\x01\x00"
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6) + picture * frames + b";"


def _bmp(width: int, height: int, bits: int = 24) -> bytes:
    return b"BM" + struct.pack("<IIIIiiHHIIiiII", 100, 0, 54, 40, width, height, 1, bits, 0, 0, 0, 0, 0, 0) + bytes(46)


def _tiff(*entries: tuple[int, int, int, int], following: int = 0) -> bytes:
    rows = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + rows + struct.pack("<I", following) + bytes(64)


def _tiff_size(width: int, height: int, *more: tuple[int, int, int, int], following: int = 0) -> bytes:
    table = {tag: (tag, 4, 1, value) for tag, value in ((256, width), (257, height), (258, 8), (259, 1), (262, 1))}
    table |= {tag: (tag, 4, 1, value) for tag, value in ((273, 8), (277, 1), (278, height), (279, 64))}
    table |= {entry[0]: entry for entry in more}
    return _tiff(*table.values(), following=following)


def _jpeg(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "JPEG")
    data = bytearray(buffer.getvalue())
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def _apng(declared: int) -> bytes:
    control = _png_chunk(b"acTL", struct.pack(">II", declared, 0))
    control += _png_chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 8, 8, 0, 0, 0, 0, 0, 0))
    return png(8, 8, zlib.compress(bytes(8 * 25)), before=control)


def _pictures() -> dict[str, bytes]:
    """Return pictures that declare much, or contradict themselves."""
    text = b"a\0\0" + _zeros(2**27)
    return {
        "huge.png": png(16384, 16384, _zeros(2**20)),
        "wide.png": png(16384, 8192, _zeros(16384 * 3 * 8192)),
        "one_bit.png": png(16384, 8192, _zeros(2049 * 8192), depth=1, colour=0),
        "endless.png": png(2**31 - 1, 2**31 - 1, b""),
        "nothing.png": png(0, 0, b""),
        "short.png": png(4000, 4000, _zeros(100)),
        "text_bomb.png": png(8, 8, zlib.compress(bytes(200)), before=_png_chunk(b"zTXt", text)),
        "profile_bomb.png": png(8, 8, zlib.compress(bytes(200)), before=_png_chunk(b"iCCP", text)),
        "palette.png": png(8, 8, zlib.compress(b"\0\xff\xff\xff" * 9), depth=8, colour=3),
        "chunk_lies.png": png(8, 8, b"")[:33] + struct.pack(">I", 2**31 - 1) + b"IDAT",
        "many_frames.png": _apng(2**31 - 1),
        "no_frames.png": _apng(0),
        "huge.webp": _webp(16384, 16384),
        "large.webp": _webp(16000, 8000),
        "riff_lies.webp": b"RIFF" + struct.pack("<I", 2**32 - 1) + b"WEBPVP8X" + struct.pack("<I", 10) + b"\xff" * 10,
        "canvas.gif": _gif(65535, 65535, 1),
        "frames.gif": _gif(6000, 5000, 3000),
        "outside.gif": _gif(8, 8, 1)[: 13 + 6]
        + b","
        + struct.pack("<HHHHB", 60000, 60000, 60000, 60000, 0)
        + b"\x02\0;",
        "huge.bmp": _bmp(65000, 65000),
        "upside_down.bmp": _bmp(16, -(2**31)),
        "negative.bmp": _bmp(-16, 16),
        "odd_bits.bmp": _bmp(16, 16, 17),
        "huge.tif": _tiff_size(60000, 60000),
        "large.tif": _tiff_size(16384, 8000),
        "loop.tif": _tiff_size(8, 8, following=8),
        "far.tif": _tiff_size(8, 8, following=2**31),
        "counts.tif": _tiff_size(8, 8, (273, 4, 2**30, 8), (279, 4, 2**30, 8)),
        "rows.tif": _tiff_size(8, 2**14, (278, 4, 1, 0)),
        "samples.tif": _tiff_size(8, 8, (277, 4, 1, 2**31)),
        "packed.tif": _tiff_size(4096, 4096, (259, 4, 1, 5)),
        "no_tags.tif": _tiff(),
        "huge.jpg": _jpeg(65500, 65500),
        "large.jpg": _jpeg(16000, 8000),
        "exif.jpg": _jpeg(16, 16)[:2] + b"\xff\xe1\xff\xffExif\0\0II*\0" + b"\xff" * 65520 + _jpeg(16, 16)[2:],
        "huge.tga": struct.pack("<BBBHHBHHHHBB", 0, 0, 10, 0, 0, 0, 0, 0, 65535, 65535, 24, 0) + b"\xff" * 40,
    }


# Playlists, and other texts that name further files

SECRET = "/etc/passwd"
ADDRESS = "http://127.0.0.1:9/x.mp4"


def _texts() -> dict[str, bytes]:
    """Return texts that FFmpeg follows to other files and addresses, under their own names and as videos."""
    list_head = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:0\n"
    texts = {
        "concat.ffconcat": f"ffconcat version 1.0\nfile '{SECRET}'\nfile other.mp4\n",
        "concat_options.ffconcat": f"ffconcat version 1.0\nfile {ADDRESS}\noption protocol_whitelist file,http,tcp\n",
        "list.m3u8": f"{list_head}#EXTINF:1,\n{SECRET}\n#EXT-X-ENDLIST\n",
        "remote.m3u8": f"{list_head}#EXTINF:1,\n{ADDRESS}\n#EXT-X-ENDLIST\n",
        "relative.m3u8": f"{list_head}#EXTINF:1,\nother.mp4\n#EXT-X-ENDLIST\n",
        "map.m3u8": f'{list_head}#EXT-X-MAP:URI="{SECRET}"\n#EXTINF:1,\nother.mp4\n#EXT-X-ENDLIST\n',
        "key.m3u8": f'{list_head}#EXT-X-KEY:METHOD=AES-128,URI="{SECRET}"\n#EXTINF:1,\nother.mp4\n#EXT-X-ENDLIST\n',
        "master.m3u8": f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{ADDRESS}\n",
        "concat.m3u8": f"{list_head}#EXTINF:1,\nconcat:{SECRET}|{SECRET}\n#EXT-X-ENDLIST\n",
        "subfile.m3u8": f"{list_head}#EXTINF:1,\nsubfile,,start,0,end,64,,:{SECRET}\n#EXT-X-ENDLIST\n",
        "session.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n",
        "stream.mpd": f'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period><AdaptationSet>'
        f'<Representation id="1"><BaseURL>{ADDRESS}</BaseURL></Representation></AdaptationSet></Period></MPD>',
        "package.xml": f'<?xml version="1.0"?><CompositionPlaylist><Id>{SECRET}</Id></CompositionPlaylist>',
        "script.avs": f'FFmpegSource2("{SECRET}")\n',
        "source.lavfi": f"movie={SECRET}\n",
        "words.vtt": "WEBVTT\n\n00:00.000 --> 00:01.000\nhello\n",
        "words.srt": "1\n00:00:00,000 --> 00:00:01,000\nhello\n",
        "words.idx": "# VobSub index file, v7\nlangidx: 0\nid: en, index: 0\ntimestamp: 00:00:00:000, filepos: 0\n",
        "picture.svg": f'<svg xmlns="http://www.w3.org/2000/svg"><image href="{SECRET}" width="9" height="9"/></svg>',
        "external.xml": f'<!DOCTYPE x [<!ENTITY e SYSTEM "file://{SECRET}">]><x>&e;</x>',
        "winamp.pls": f"[playlist]\nFile1={ADDRESS}\nNumberOfEntries=1\n",
        "media.asx": f'<asx version="3.0"><entry><ref href="{ADDRESS}"/></entry></asx>',
        "metadata.txt": ";FFMETADATA1\ntitle=x\n",
        "stream.ram": "rtsp://127.0.0.1:9/x\n",
        "quicktime.mov": f'RTSPtext\nrtsp://127.0.0.1:9/x "{SECRET}"\n',
    }
    disguised = {f"{Path(name).stem}_{Path(name).suffix[1:]}.mp4": text for name, text in texts.items()}
    return {name: text.encode() for name, text in {**texts, **disguised}.items()}


# Containers


def _box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + kind + body


def _replaced(data: bytes, kind: bytes, change: Callable[[bytearray, int], None]) -> bytes:
    """Return a copy of an MP4 file with the body of one box changed in place."""
    changed = bytearray(data)
    change(changed, data.index(kind) + 4)
    return bytes(changed)


def _put(offset: int, form: str, *values: int) -> Callable[[bytearray, int], None]:
    def change(data: bytearray, at: int) -> None:
        struct.pack_into(form, data, at + offset, *values)

    return change


def _containers(real: dict[str, bytes]) -> dict[str, bytes]:
    """Return containers whose headers lie about sizes, counts, durations and where the frames are."""
    mp4, mkv, avi = real["a.mp4"], real["a.mkv"], real["a.avi"]
    moved = mp4.replace(b"url \0\0\0\1", b"url \0\0\0\0")
    lies = {
        "no_frames.mp4": ("stsz", _put(8, ">I", 0)),
        "billion_frames.mp4": ("stsz", _put(4, ">II", 1, 10**9)),
        "billion_chunks.mp4": ("stco", _put(4, ">I", 10**9)),
        "billion_times.mp4": ("stts", _put(4, ">III", 1, 10**9, 1)),
        "long_frames.mp4": ("stts", _put(4, ">III", 1, 20, 2**31)),
        "far_chunks.mp4": ("stco", _put(8, ">I", 2**32 - 1)),
        "no_clock.mp4": ("mdhd", _put(12, ">I", 0)),
        "fast_clock.mp4": ("mdhd", _put(12, ">I", 2**32 - 1)),
        "endless.mp4": ("mvhd", _put(12, ">II", 1, 2**32 - 1)),
        "turned.mp4": ("tkhd", _put(40, ">9i", *[2**31 - 1] * 9)),
        "flat.mp4": ("tkhd", _put(40, ">9i", *[0] * 9)),
        "large.mp4": ("avc1", _put(24, ">HH", 65535, 65535)),
        "other_codec.mp4": ("avc1", _put(-4, ">4s", b"hvc1")),  # type: ignore[arg-type]
        "raw_codec.mp4": ("avc1", _put(-4, ">4s", b"raw ")),  # type: ignore[arg-type]
    }
    made = {name: _replaced(mp4, kind.encode(), change) for name, (kind, change) in lies.items()}
    deep = b""
    for _ in range(5000):
        deep = _box(b"moov", deep)
    return made | {
        "elsewhere.mp4": moved,
        "alias.mov": mp4.replace(b"url \0\0\0\1", b"alis\0\0\0\0"),
        "deep.mp4": _box(b"ftyp", b"isom", bytes(4)) + deep,
        "box_lies.mp4": struct.pack(">I4s", 2**32 - 1, b"ftyp") + bytes(50),
        "box_64.mp4": mp4[:28] + struct.pack(">I4sQ", 1, b"moov", 2**63 - 1) + mp4[28:],
        "no_index.mp4": mp4.replace(b"moov", b"free"),
        "two.mp4": mp4 + mp4,
        "half.mp4": mp4[: len(mp4) // 2],
        "size_lies.mkv": mkv[:40] + b"\xff" * 8 + mkv[48:],
        "void.mkv": mkv[:4] + b"\x01" + b"\xff" * 7 + mkv[5:],
        "deep.mkv": b"\x1a\x45\xdf\xa3\x80" + b"\x18\x53\x80\x67\xff" * 3000,
        "chunk_lies.avi": avi[:4] + b"\xff" * 4 + avi[8:],
        "list_lies.avi": avi[:16] + b"\xff" * 4 + avi[20:],
        "no_rate.avi": avi.replace(avi[32:36], bytes(4), 1),
        "flood.y4m": b"YUV4MPEG2 W16384 H16384 F25:1 Ip A1:1 C420jpeg\nFRAME\n" + bytes(500),
        "rate.y4m": b"YUV4MPEG2 W16 H16 F1000000000:1 Ip A1:0 C420jpeg\nFRAME\n" + bytes(384),
        "no_size.y4m": b"YUV4MPEG2 F25:1\nFRAME\n",
        "zeros.mp4": bytes(10_000),
        "ones.mkv": b"\xff" * 10_000,
        "one_byte.webm": b"\x1a",
        "archive.mp4": b"PK\x03\x04" + bytes(300),
        "program.mp4": b"\x7fELF" + bytes(300),
        "gzip.png": b"\x1f\x8b\x08" + bytes(300),
    }


def handmade(folder: Path, real: dict[str, bytes]) -> list[Path]:
    """Write every handmade file to a folder, with a video beside them that nothing may open; return their paths."""
    files = {**_pictures(), **_texts(), **_containers(real)}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (folder / "other.mp4").write_bytes(real["a.mp4"])
    return [folder / name for name in files]


# Mutations


def seeds(folder: Path) -> dict[str, bytes]:
    """Return one small real file of every format, by name; `folder` is for their making."""
    smooth = np.cumsum(numbered(8, 48, 64), axis=2, dtype=np.uint8)
    made = {
        "a.mp4": {},
        "frag.mp4": {"muxing": {"movflags": "frag_keyframe+empty_moov"}},
        "a.mov": {"codec": "prores_ks", "pixels": "yuv422p10le"},
        "a.mkv": {},
        "b.mkv": {"codec": "ffv1", "pixels": "yuv444p"},
        "a.webm": {"codec": "libvpx-vp9", "options": {"cpu-used": "8", "deadline": "realtime"}},
        "b.webm": {"codec": "libvpx", "options": {"cpu-used": "8", "deadline": "realtime"}},
        "a.avi": {"codec": "mpeg4"},
        "b.avi": {"codec": "mjpeg", "pixels": "yuvj420p"},
        "a.ts": {"muxer": "mpegts"},
    }
    for name, options in made.items():
        encode(folder / name, smooth, **options)  # type: ignore[arg-type]
    pictures = [Image.fromarray(frame) for frame in smooth]
    for name in ("a.png", "a.jpg", "a.webp", "a.tif", "a.bmp"):
        pictures[0].save(folder / name)
    pictures[0].convert("RGBA").save(folder / "b.webp", lossless=True)
    pictures[0].save(folder / "lzw.tif", compression="tiff_lzw")
    for name in ("a.gif", "anim.png", "anim.webp", "pages.tif"):
        pictures[0].save(folder / name, save_all=True, append_images=pictures[1:4])
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def _flip(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice([1, 1, 2, 8, 50])):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _lie(data: bytearray, rng: random.Random) -> None:
    """Put a number that headers do not expect somewhere in the first part."""
    value = rng.choice([0, 1, 255, 2**15, 2**16 - 1, 10**9, 2**31 - 1, 2**31, 2**32 - 1])
    at = rng.randrange(max(1, min(len(data), 1500) - 4))
    data[at : at + 4] = struct.pack(rng.choice("<>") + "I", value)


def _cut(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(1, len(data)) :]


def _overwrite(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data))
    count = min(rng.choice([4, 64, 1000]), len(data) - start)
    data[start : start + count] = rng.choice([bytes(count), b"\xff" * count, rng.randbytes(count)])


def _remove(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data))
    del data[start : start + rng.choice([1, 4, 100])]


def _repeat(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data))
    part = data[start : start + rng.choice([4, 64, 2000])]
    data[start:start] = part * rng.choice([1, 3, 50])


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Return a damaged copy of a file."""
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 3])):
        rng.choice([_flip, _flip, _lie, _lie, _cut, _overwrite, _remove, _repeat])(changed, rng)
        if not changed:
            return b"\0"
    return bytes(changed)
