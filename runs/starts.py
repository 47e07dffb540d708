"""Write the pictures from which sessions of a played world begin: first frames of held-out clips.

python runs/starts.py FOLDER     reads FOLDER/clips/heldout and fills FOLDER/starts
"""

from __future__ import annotations

import sys
from pathlib import Path

from chronotope.media import video

COUNT = 8


def main() -> None:
    out = Path(sys.argv[1])
    (out / "starts").mkdir(exist_ok=True)
    for number, clip in enumerate(sorted((out / "clips/heldout").rglob("*.mp4"))[:COUNT]):
        video.write_image(out / "starts" / f"{number}.png", video.read(clip).frames[0])


if __name__ == "__main__":
    main()
