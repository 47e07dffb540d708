"""The picture of docs/captions.md: what the built-in captioner, which knows only the stage, says of camera clips.

python tests/real_clips.py                 fetches the clips
python tools/picture_captions.py           writes docs/captions.png: three frames of each and its caption
"""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from chronotope.cli.language.captioners import find_captioner
from chronotope.media import video
from chronotope.media.picture import resize

ROOT = Path(__file__).resolve().parent.parent
CLIPS = Path.home() / ".cache" / "chronotope" / "clips"
# Of clips with a free licence: the file and where the part begins, in seconds. Nothing is picked: every 75th second.
SHOWN = [("cityCC0.mpg", 0.0), ("bigbuckbunny.mp4", 0.0), *(("bbb.mp4", 75.0 * part) for part in range(1, 5))]
SECONDS = 4.0  # of each clip
TALL, GAP, TEXT = 90, 4, 46  # pixels
WIDE = 496


def main() -> None:
    """Write one row for each part."""
    captioner = find_captioner("builtin", "sentence", 0)
    rows = []
    for name, start in SHOWN:
        clip = video.read(CLIPS / name, start=start, seconds=SECONDS)
        caption = captioner.ask(clip.frames, clip.fps).text
        print(f"{name} from {start:g} s: {caption}")
        rows.append(row_of(clip.frames, caption))
    video.write_image(ROOT / "docs" / "captions.png", np.concatenate(rows))


def row_of(frames: np.ndarray, caption: str) -> np.ndarray:
    """Draw the first, the middle and the last frame side by side, with the caption below."""
    picture = Image.new("RGB", (WIDE, TALL + TEXT), "white")
    left = 0
    for frame in frames[[0, len(frames) // 2, -1]]:
        wide = round(TALL * frame.shape[1] / frame.shape[0])
        picture.paste(Image.fromarray(resize(frame, TALL, wide)), (left, 0))
        left += wide + GAP
    ImageDraw.Draw(picture).text((2, TALL + 6), textwrap.fill(caption, 68), "black", ImageFont.load_default(13))
    return np.asarray(picture)


if __name__ == "__main__":
    main()
