"""The options of `chronotope generate`, checked together -> a request of files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chronotope.cli.left_out import refuse_twice
from chronotope.cli.terminal import refuse_overwriting, refuse_replacing, say
from chronotope.errors import FileProblem, UsageError
from chronotope.generate import files
from chronotope.generate.files import FileRequest
from chronotope.geometry import Geometry
from chronotope.media.picture import PICTURE_FORMATS, Frame, check_writable
from chronotope.media.video import VIDEO_FORMATS
from chronotope.prompt import Prompt
from chronotope.request import Choices, Defaults, Request, Task
from chronotope.safety.deliver import Layers
from chronotope.safety.policy.decide import NO_POLICY, Policy, default_policy, read_policy

__all__ = ["Options", "read_image", "weights_of_adapters"]


@dataclass(frozen=True)
class Options(Choices):
    """What stands on the command line beside the prompt; None stands for the model's default."""

    output: Path | None = None
    overwrite: bool = False
    images: tuple[Path, ...] = ()
    extend: Path | None = None
    backward: bool = False
    connect: tuple[Path, Path] | None = None
    loop: bool = False
    edit: Path | None = None
    retake: Path | None = None
    mask: Path | None = None
    typed: str = ""  # what the user typed, where the model is told something else
    word_notes: tuple[str, ...] = ()  # what became of the user's words
    seed: int = 0
    count: int = 1
    compare: tuple[Path, ...] = ()
    no_compare: bool = False
    no_watermark: bool = False
    no_credentials: bool = False
    visible_mark: bool = False
    policy: Path | None = None
    no_policy: bool = False

    @property
    def layers(self) -> Layers:
        """The layers of provenance that the files get."""
        return Layers(not self.no_watermark, not self.no_credentials, self.visible_mark)

    def chosen_policy(self) -> Policy:
        """Return the policy that decides of the texts."""
        if self.no_policy:
            return NO_POLICY
        return read_policy(self.policy) if self.policy else default_policy()

    @property
    def clip(self) -> Path | None:
        """The clip that the task works on."""
        return self.extend or self.edit or self.retake or (self.connect[0] if self.connect else None)

    @property
    def files(self) -> list[Path]:
        """Every file that is read."""
        clips = (self.extend, self.edit, self.retake, self.mask)
        return [*self.images, *(path for path in clips if path), *(self.connect or ())]

    @property
    def to_picture(self) -> bool:
        return self.output is not None and self.output.suffix.lower() in PICTURE_FORMATS

    @property
    def outputs(self) -> list[Path]:
        """The files to write: fox.mp4, or fox-7.mp4 and fox-8.mp4 for seeds 7 and 8."""
        if self.output is None:
            return []
        if self.count == 1:
            return [self.output]
        return [self.output.with_stem(f"{self.output.stem}-{self.seed + number}") for number in range(self.count)]

    # Checks

    def check(self, dry_run: bool) -> None:
        """Refuse what no model could do, before one is loaded."""
        for output in self.outputs:
            check_writable(output, {**VIDEO_FORMATS, **PICTURE_FORMATS})
            for path in self.files:
                refuse_overwriting(path, output)
            refuse_replacing(output, self.overwrite)
        if self.output is None and not dry_run:
            raise UsageError("name the file to write, for example: -o video.mp4")
        if self.policy and self.no_policy:
            raise UsageError("--policy and --no-policy exclude each other; give one of them")
        if self.compare and self.no_compare:
            raise UsageError("--compare and --no-compare exclude each other; give one of them")
        refuse_twice("--compare", self.compare)
        for folder in self.compare:
            if not folder.is_dir():
                raise FileProblem(f"--compare {folder}: there is no such folder")
        self._check_task()
        self._check_companions()
        if (self.files or self.loop) and (self.to_picture or self.seconds == 0):
            raise UsageError("a video from these inputs needs --seconds above 0 and a video file such as -o video.mp4")
        if (last := self.seed + self.count - 1) >= 2**63:
            raise UsageError(f"--seed {self.seed} with --count {self.count} ends at seed {last}, beyond 2^63 - 1")

    def _check_task(self) -> None:
        """Refuse inputs that belong to different tasks."""
        clips = {"--extend": self.extend, "--connect": self.connect, "--edit": self.edit, "--retake": self.retake}
        named = [name for name, file in clips.items() if file]
        if len(named) > 1:
            raise UsageError(f"{' and '.join(named)} are different tasks; make one video after the other")
        if self.images and named:
            raise UsageError(f"--image starts a video of its own; leave it out with {named[0]}")
        if self.loop and named and named != ["--extend"]:
            raise UsageError(
                f"--loop takes the prompt alone, an --image or a clip (--extend); it does not go with {named[0]}"
            )
        if self.loop and len(self.images) > 1:
            raise UsageError("--loop begins and ends at one --image")
        if self.at and len(self.at) != len(self.images):
            raise UsageError(
                f"there are {len(self.images)} --image and {len(self.at)} --at; give each picture its seconds"
            )
        if len(self.images) > 1 and not self.at:
            raise UsageError("several pictures need their seconds: --image a.png --at 0 --image b.png --at 2")

    def _check_companions(self) -> None:
        """Refuse an option without the one that it belongs to."""
        needs: list[tuple[str, Any, Any, str]] = [
            ("--at", self.at, self.images, "--image"),
            ("--backward", self.backward, self.extend and not self.loop, "--extend"),
            ("--context", self.context is not None, self.extend or self.connect, "--extend or --connect"),
            (
                "--strength",
                self.strength is not None,
                self.edit or self.retake or self.connect,
                "--edit, --retake or --connect",
            ),
            ("--from", self.start is not None, self.retake, "--retake"),
            ("--to", self.stop is not None, self.retake, "--retake"),
            ("--mask", self.mask, self.retake, "--retake"),
            ("--consent", self.consent, self.files, "a picture or a clip"),
        ]
        for name, present, partner, partner_name in needs:
            if present and not partner:
                raise UsageError(f"{name} goes with {partner_name}")
        if self.seconds is not None and (self.edit or self.retake):
            raise UsageError(
                "--edit and --retake keep the length of the clip; leave --seconds out, or cut the clip first"
            )
        if self.strength is not None and not 0 <= self.strength <= 1:
            raise UsageError(f"--strength lies between 0 (keep everything) and 1 (keep nothing), got {self.strength:g}")

    # Request

    def request(self, prompts: tuple[Prompt, ...], defaults: Defaults, geometry: Geometry) -> Request:
        """Return the request, every file read; sizes and lengths that the options leave open follow the inputs."""
        asked = FileRequest(
            prompts=prompts,
            task=self._task(),
            images=self.images,
            clip=self.clip,
            into=self.connect[1] if self.connect else None,
            mask=self.mask,
            to_picture=self.to_picture,
            typed=self.typed,
            word_notes=self.word_notes,
            **self.choices,
        )
        return asked.read(defaults, geometry, lambda sentence: say(f"note: {sentence}"))

    def _task(self) -> Task | None:
        if self.loop:
            return "loop"
        if self.extend:
            return "extend_backward" if self.backward else "extend"
        if self.connect:
            return "connect"
        if self.edit:
            return "edit"
        return "retake" if self.retake else None


def weights_of_adapters(named: Sequence[str]) -> dict[str | Path, float]:
    """Read DIR or DIR=WEIGHT of each --adapter; one of weight 0 is said, because it changes nothing."""
    found: dict[str | Path, float] = {}
    for text in named:
        name, sign, number = text.rpartition("=")
        if not sign or Path(text).is_dir():
            name, number = text, "1"
        try:
            weight = float(number)
        except ValueError:
            raise UsageError(
                f"--adapter {text}: '{number}' is no weight; write DIR or DIR=WEIGHT, as runs/a=0.5"
            ) from None
        if Path(name) in map(Path, found):
            raise UsageError(f"--adapter names {name} more than once; name each adapter once")
        if weight == 0:
            say(f"note: --adapter {text}: with the weight 0 it changes nothing")
        found[name] = weight
    return found


def read_image(path: Path) -> Frame:
    """Read a picture, or the first frame of a video, and say what players show and it does not."""
    return files.read_image(path, lambda sentence: say(f"note: {sentence}"))
