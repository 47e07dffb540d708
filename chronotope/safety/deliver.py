"""The one way by which a made file leaves the program: frames -> a checked, marked, signed and described file, or none.

Frames that the policy forbids make no file. A layer that is missing, fails or takes too long means that there is no
file, and an entry in the log of refusals. A layer that its user switched off is named in the file.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from chronotope.errors import ChronotopeError, UsageError
from chronotope.geometry import Picture
from chronotope.media.files import reason
from chronotope.media.frames import Number
from chronotope.media.picture import PICTURE_FORMATS, TIMINGS, check_writable, tag_json, write_image
from chronotope.media.writer import VIDEO_FORMATS, VideoWriter
from chronotope.safety.audit import record
from chronotope.safety.credentials import sign_file
from chronotope.safety.guarded import LAYER_SECONDS, within
from chronotope.safety.keys import Signer, load_signer, watermark_keys
from chronotope.safety.output.check import Finding, OutputCheck
from chronotope.safety.policy.decide import Policy, default_policy
from chronotope.safety.refusals import refuse_frames
from chronotope.safety.visible_mark import add_visible_mark
from chronotope.safety.watermark import RELIABLE_SIDE, Marker
from chronotope.storage import file_sha256

__all__ = ["ALL_LAYERS", "Delivery", "Layers", "NotDeliveredError", "deliver", "signed_content"]

WATERMARK = "chronotope 1"
T = TypeVar("T")
OUTPUT = "output check"
SWITCHES = ("watermark", "credentials")  # layers that a user can leave out
SIGNED = "signed"  # the field of a sidecar that signs the others, and the file


class NotDeliveredError(ChronotopeError):
    """A layer of provenance failed, so there is no file; `layer` names it."""

    def __init__(self, message: str, layer: str) -> None:
        super().__init__(message)
        self.layer = layer


@dataclass(frozen=True)
class Layers:
    """Which layers of provenance a file gets; those that are off are named in it."""

    watermark: bool = True
    credentials: bool = True
    visible_mark: bool = False

    def described(self, height: int, width: int, fits: bool) -> dict[str, str]:
        """Return what the file says of its layers."""
        small = min(height, width) < RELIABLE_SIDE
        reach = f"{WATERMARK}, measured from {RELIABLE_SIDE} pixels a side on" if small else WATERMARK
        return {
            "watermark": "off" if not self.watermark else reach if fits else "none: the frames are too small",
            "credentials": "C2PA, self-signed" if self.credentials else "off",
            "visible_mark": "on" if self.visible_mark else "off",
        }


ALL_LAYERS = Layers()


class Delivery:
    """A video or a picture on its way out; used as a context, and as a `VideoWriter`.

    `settings` are stored in the file and beside it. `composite` says that parts of the content were given. `watchable`
    and `allow` are those of `VideoWriter`; a video whose frames have to be judged cannot be watched before. Raises
    `RefusedError` where the policy forbids the frames, `NotDeliveredError` where a layer fails; no file is left then.
    """

    def __init__(
        self,
        path: Path,
        fps: Number,
        settings: Mapping[str, Any],
        layers: Layers = ALL_LAYERS,
        *,
        composite: bool = False,
        watchable: bool = False,
        allow: Callable[[], None] | None = None,
        policy: Policy | None = None,
    ) -> None:
        self.policy = default_policy() if policy is None else policy
        self.path = check_writable(path, {**VIDEO_FORMATS, **PICTURE_FORMATS})
        self.layers, self.composite = layers, composite
        self.num_frames = 0
        self.watchable = watchable and self.path.suffix.lower() in VIDEO_FORMATS and not self.policy.output
        self._fps, self._settings, self._allow = fps, dict(settings), allow
        self._to_picture = self.path.suffix.lower() in PICTURE_FORMATS
        self._picture: Picture | None = None
        self._writer: VideoWriter | None = None
        self._marker: Marker | None = None
        self._check: OutputCheck | None = None
        self._checking = 0.0  # seconds
        self._closed = False
        self._signer: Signer | None = None
        self._final: dict[str, Any] = {}
        self._provenance: dict[str, Any] = {}

    def __enter__(self) -> Delivery:
        if self.layers.credentials:  # before minutes are spent on frames that could not be delivered
            self._signer = self._guarded("credentials", load_signer)
        if self.policy.output:
            self._check = self._guarded(OUTPUT, lambda: OutputCheck(self.policy.output, self._fps))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.finish()
        else:
            self.abort()

    @property
    def growing(self) -> Path:
        """The file that can be watched while it grows."""
        assert self._writer is not None
        return self._writer.growing

    def add(self, frame: Picture) -> None:
        """Judge a frame, mark it and append it; a picture has one."""
        if self._to_picture and self.num_frames:
            raise UsageError(f"{self.path} must hold exactly one frame and got more; use .mp4 for a video.")
        self._judge(lambda check: check.add(frame))
        if not self.num_frames:
            self._begin(frame)
        marked = frame
        if self._marker is not None:
            marked = self._guarded("watermark", lambda: self._mark(frame))
        if self.layers.visible_mark:
            marked = self._guarded("visible mark", lambda: add_visible_mark(marked))
        if self._writer is None:
            self._picture = marked
        else:
            self._writer.add(marked)
        self.num_frames += 1

    def finish(self, settings: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Sign the file and give it its name; `settings` replace those in the sidecar. Return what the sidecar says."""
        if self._closed:
            return self._final
        self._closed = True
        if not self.num_frames:
            raise UsageError(f"no frames were given for {self.path}, so it was not written; at least one is needed.")
        self._judge(lambda check: check.finish())
        final = {**(self._settings if settings is None else settings), **self._provenance}
        if self._check is not None:
            final["output"] = self._check.described()
            if isinstance(took := final.get(TIMINGS), dict):
                final[TIMINGS] = {**took, "checking": round(self._checking, 3)}
        if self._writer is not None:
            self._writer.finish(final)
        else:
            assert self._picture is not None
            write_image(self.path, self._picture, final, self._allow, self._complete)
        return self._final

    def abort(self) -> None:
        """Leave no file."""
        self._closed = True
        if self._writer is not None:
            self._writer.abort()

    # Layers

    def _judge(self, judge: Callable[[OutputCheck], Sequence[Finding]]) -> None:
        """Refuse the file where frames are forbidden, or cannot be judged."""
        if not self.policy.output:
            return
        started = time.perf_counter()
        if self._check is None:  # not entered as a context
            self._check = self._guarded(OUTPUT, lambda: OutputCheck(self.policy.output, self._fps))
        check = self._check
        found = self._guarded(OUTPUT, lambda: judge(check))
        self._checking += time.perf_counter() - started
        if found:
            self.abort()
            refuse_frames(self.policy, "picture" if self._to_picture else "video", found, self.path.name)

    def _begin(self, frame: Picture) -> None:
        height, width = frame.shape[:2]
        if self.layers.watermark:
            self._marker = self._guarded("watermark", lambda: Marker(height, width, watermark_keys()[0]))
        fits = self._marker is not None and self._marker.fits
        self._provenance = {"provenance": self.layers.described(height, width, fits)}
        if not self._to_picture:
            tags = {**self._settings, **self._provenance}
            self._writer = VideoWriter(
                self.path,
                self._fps,
                metadata=tags,
                watchable=self.watchable,
                allow=self._allow,
                complete=self._complete,
            )

    def _mark(self, frame: Picture) -> Picture:
        assert self._marker is not None
        return self._marker(frame)

    def _complete(self, partial: Path, settings: dict[str, Any] | None) -> dict[str, Any]:
        """Sign the complete file; return the settings for its sidecar, signed too."""
        self._final = dict(settings or {})
        if self.layers.credentials:
            unsigned = self._final
            self._final = self._guarded("credentials", lambda: self._signed(partial, unsigned))
        return self._final

    def _signed(self, partial: Path, settings: dict[str, Any]) -> dict[str, Any]:
        signer = self._signer or load_signer()
        manifest = sign_file(partial, json.loads(tag_json(self.path, settings)), self.composite, signer)
        facts = {"sha256": file_sha256(partial), "certificate": signer.fingerprint, "manifest": manifest}
        document = {**settings, SIGNED: facts}
        signature = base64.b64encode(signer.sign(signed_content(document))).decode()
        return {**settings, SIGNED: {**facts, "signature": signature}}

    def _guarded(self, layer: str, work: Callable[[], T]) -> T:
        """Do the work of a layer; whatever goes wrong, and taking too long, is a refusal."""
        try:
            return within(LAYER_SECONDS, work)
        except Exception as problem:
            self.abort()
            what = reason(problem)
            private = what.replace(str(self.path.parent), "...")
            about = {"rule": f"without {layer} no file", "score": 1.0, "version": self.policy.version}
            record({"event": "not delivered", "layer": layer, **about, "file": self.path.name, "reason": private[:300]})
            switch = f", or leave it out with --no-{layer}, which the file says" if layer in SWITCHES else ""
            raise NotDeliveredError(
                f"{self.path} was not written, because its {layer} failed: {what}; mend that{switch}", layer
            ) from problem


def deliver(
    path: Path,
    frames: Iterable[Picture],
    fps: Number,
    settings: Mapping[str, Any],
    layers: Layers = ALL_LAYERS,
    composite: bool = False,
    policy: Policy | None = None,
) -> None:
    """Deliver frames that are all at hand; see `Delivery`."""
    with Delivery(path, fps, settings, layers, composite=composite, policy=policy) as delivery:
        for frame in frames:
            delivery.add(frame)


def signed_content(document: Mapping[str, Any]) -> bytes:
    """Return the bytes of a sidecar that its signature is for: all of it but the signature."""
    signed = {name: value for name, value in document[SIGNED].items() if name != "signature"}
    return json.dumps({**document, SIGNED: signed}, sort_keys=True).encode()
