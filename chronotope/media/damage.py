"""What a decoder conceals: the errors that it logs, and the frames that it marks, while it makes up what is missing.

Most formats have no checksums. A decoder notices damage where the bits make no sense, hides it as well as it can, and
goes on; a player shows a spoiled frame. libav writes such errors to standard error. In the guarded child that is a
pipe: libav must not call back into Python from its threads.
"""

from __future__ import annotations

import contextlib
import os
import re

__all__ = ["DAMAGE_ADVICE", "DamageLog"]

DAMAGE_ADVICE = "look at it, and get a complete copy, or re-encode it with ffmpeg if it looks right"
READ_BYTES = 2**16
MOST_BYTES = 2**18  # of errors that are looked at for one file; a damaged one may cause thousands
# "[h264 @ 0x7f31c4002d80] error while decoding MB 3 2, bytestream -5"
_LINE = re.compile(r"^\[([^]@]+) @ 0x[0-9a-f]+\] (.*)$")
# These are logged for files that every decoder shows in full.
_HARMLESS = re.compile(
    r"unspecified|not implemented|unsupported|deprecated|experimental|skipping|\bsei\b|side data|non-intra slice", re.I
)


class DamageLog:
    """The errors of the decoder of one file at a time; `begin` it for each file, before its first packet."""

    def __init__(self) -> None:
        self._source = -1
        self._decoder = ""
        self._texts: dict[str, None] = {}  # in their order, each kind once
        self._read = 0
        self._marked = 0
        self._packets = 0
        self._noticed: dict[str, None] = {}

    def capture(self) -> None:
        """Turn standard error of this process into a pipe that keeps what libav writes."""
        self._source, target = os.pipe()
        os.set_blocking(self._source, False)
        os.set_blocking(target, False)  # what does not fit is lost, which stops nobody
        os.dup2(target, 2, inheritable=False)
        os.close(target)

    def begin(self, decoder: str) -> None:
        """Forget what was logged before, and look at the errors of a decoder from now on; "" looks at none."""
        self._drain()
        self._decoder, self._texts, self._read, self._marked, self._packets = decoder, {}, 0, 0, 0
        self._noticed = {}

    def packet(self, key: bool) -> None:
        """Count a packet; where the first one is no key frame, what it refers to is missing, which is no damage."""
        if not key and self._packets == 0:
            self._decoder = ""
        self._packets += 1

    def add(self, sentence: str) -> None:
        """Keep what the reader noticed itself, as a sentence that begins with the file's name."""
        self._noticed.setdefault(sentence)

    def frame(self, marked: bool) -> None:
        """Count a frame that the decoder marks as damaged."""
        self._marked += marked
        self._drain()

    def _drain(self) -> None:
        """Read the pipe, so that later errors find room."""
        data = b""
        if self._source < 0:
            return
        with contextlib.suppress(BlockingIOError):
            while part := os.read(self._source, READ_BYTES):
                if self._read < MOST_BYTES:
                    data += part
                    self._read += len(part)
        for line in data.decode(errors="replace").splitlines():
            found = _LINE.match(line)
            if found and found[1].strip() == self._decoder and not _HARMLESS.search(found[2]):
                self._texts.setdefault(re.sub(r"-?\d+", "#", found[2].strip()))

    def sentence(self) -> str:
        """Return what to say of the file; "" where nothing was noticed."""
        self._drain()
        noticed = list(self._noticed)
        if not self._decoder or not (self._texts or self._marked):
            return "; ".join(noticed)
        parts = []
        if self._marked:
            parts.append(f"{self._marked} {'frame' if self._marked == 1 else 'frames'} marked as damaged")
        if self._texts:
            parts.append(next(iter(self._texts)).replace("#", "N"))
        return "; ".join([*noticed, f"its {self._decoder} video seems damaged ({', '.join(parts)})"])
