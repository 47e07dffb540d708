"""What `chronotope caption` does: every clip of a folder is described by a captioner; what is there already is kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from chronotope.caption.captioners.answers import caption_of
from chronotope.caption.captioners.captioner import Answer, Captioner, NoCaptionError
from chronotope.cli.interrupt import Stop, stoppable
from chronotope.cli.left_out import scan_and_say
from chronotope.cli.terminal import progress, say
from chronotope.curate import scores
from chronotope.data.clips import Clip
from chronotope.data.notes import Kinds
from chronotope.data.recaptions import Recaptions
from chronotope.errors import FileProblem
from chronotope.geometry import Frames
from chronotope.manifest import identify
from chronotope.media import video
from chronotope.metrics.camera import camera_motion
from chronotope.progress import Progress
from chronotope.prompt import UNCLEAN, is_clean
from chronotope.storage import locked

__all__ = ["Captioned", "caption_folder"]

MOTION_PAIRS = 24  # of neighbouring frames between which motion is measured
MAX_SECONDS = 60.0  # of a clip that are looked at


@dataclass
class Captioned:
    """How many clips were described now and before, which were not, and the tokens that it took."""

    clips: int
    new: int = 0
    kept: int = 0
    tokens: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    stopped: bool = False

    def in_words(self) -> str:
        """Return the counts as a sentence."""
        parts = [f"{self.new} captioned", f"{self.kept} kept", f"{len(self.failed)} without a caption"]
        tokens = f"; {self.tokens:,} tokens" if self.tokens else ""
        return f"{self.clips} clips: {', '.join(parts)}{tokens}"


def caption_folder(data: Path, captioner: Captioner, detail: str, at_once: int) -> Captioned:
    """Describe the clips that have no caption by this captioner yet, `at_once` at a time; each is saved at once.

    Raises CaptionerError where the captioner cannot be asked; what it has written until then is kept.
    """
    folder = scan_and_say(data)
    with locked(data), stoppable() as stop, progress("captioning", "clips") as report:
        written = _read_written(data)
        work = _Work(captioner, detail, written, Captioned(len(folder.clips)), report, Kinds(data, "clip"))
        with ThreadPoolExecutor(at_once) as pool:
            try:
                work.run(folder.clips, pool, at_once, stop)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        others = {detail for _, detail in written.rows} - {detail}
    if others and detail:
        say(f"note: captions of the level {', '.join(sorted(others))} that were written before are used as well")
    for line in (*work.remarks.lines(), *written.remarks()):
        say(f"note: {line}")
    return work.found


def _read_written(data: Path) -> Recaptions:
    """Read the captions that were written before; damaged lines are said, and leave the file for a copy of it."""
    written = Recaptions(data, lambda sentence: say(f"note: {sentence}; it is not used"))
    if written.damaged:
        say(f"note: damaged lines were removed; the file as it was is {written.mend()}")
    return written


def measured(frames: Frames, fps: float) -> dict[str, Any]:
    """Return what is measured of a video: its motion in widths a second, and what the camera does where that is seen.

    Nothing is measured of a picture.
    """
    if len(frames) < 2:
        return {}
    at = np.unique(np.linspace(0, len(frames) - 2, MOTION_PAIRS).round().astype(int))
    motion = float(np.mean([scores.motion(scores.grey(frames[one]), scores.grey(frames[one + 1])) for one in at]))
    camera = camera_motion(frames, fps)
    return {"motion": round(motion * fps, 4), "camera": camera.words if camera else "not seen"}


@dataclass
class _Work:
    """The clips that are with the captioner, and where its answers go."""

    captioner: Captioner
    detail: str
    written: Recaptions
    found: Captioned
    report: Progress
    remarks: Kinds
    waiting: dict[Future[Answer], tuple[Clip, str, dict[str, Any]]] = field(default_factory=dict)
    done: int = 0

    def run(self, clips: Sequence[Clip], pool: ThreadPoolExecutor, at_once: int, stop: Stop) -> None:
        """Keep `at_once` clips with the captioner, and save each answer when it comes."""
        for clip in clips:
            if stop.poll():
                self.found.stopped = True
                break
            try:
                self._send(clip, pool)
            except FileProblem as problem:
                self._fail(clip, str(problem))
            if len(self.waiting) >= at_once:
                self._save(wait(self.waiting, return_when=FIRST_COMPLETED).done)
        self._save(wait(self.waiting).done)

    def _send(self, clip: Clip, pool: ThreadPoolExecutor) -> None:
        source = identify(clip.path, clip.file)
        if self.written.has(clip.file, source.sha256, self.detail, self.captioner.author):
            self.found.kept += 1
            self._count()
            return
        content = video.read(clip.path, seconds=MAX_SECONDS, square_pixels=True)
        for remark in content.remarks:
            self.remarks.add(clip.file, remark)
        if not source.unchanged(clip.path):
            raise FileProblem(f"{clip.path} was changed while it was read; run the same command again")
        asked = pool.submit(self.captioner.ask, content.frames, content.fps)
        self.waiting[asked] = (clip, source.sha256, measured(content.frames, content.fps))

    def _save(self, finished: Iterable[Future[Answer]]) -> None:
        for future in finished:
            clip, sha256, facts = self.waiting.pop(future)
            text = reason = ""
            try:
                answer = future.result()
                self.found.tokens += answer.tokens
                text = caption_of(answer.text, self.detail)
                if not is_clean(answer.text):
                    self.remarks.add(clip.file, f"the answer {UNCLEAN}")
            except NoCaptionError as problem:
                reason = str(problem)
            self.written.add(clip.file, sha256, self.detail, self.captioner.author, text, reason, facts)
            if text:
                self.found.new += 1
                self._count()
            else:
                self._fail(clip, reason)

    def _fail(self, clip: Clip, reason: str) -> None:
        self.found.failed[clip.file] = reason
        self._count()

    def _count(self) -> None:
        self.done += 1
        self.report(self.done, self.found.clips)
