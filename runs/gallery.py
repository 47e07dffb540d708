"""Make one HTML page for a folder of generated files, with the prompt and settings of each. The page needs no server.

python runs/gallery.py out/demo
"""

from __future__ import annotations

import argparse
import html
from pathlib import Path
from typing import Any

from chronotope.media import video
from chronotope.storage import write_atomically

SUFFIXES = {".mp4", ".webm", ".gif", ".png", ".jpg", ".webp"}
TITLE = "Chronotope: first light"
SCALE = 4  # CSS pixels on the page per pixel of the video

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
  body {{ font: 16px/1.45 system-ui, sans-serif; color: #222; background: #f7f5f1; margin: 3rem auto }}
  body {{ max-width: 90rem; padding: 0 2rem }}
  h1 {{ font-weight: 600; margin: 0 }}
  header p {{ color: #666; max-width: 46rem }}
  main {{ display: flex; flex-wrap: wrap; gap: 2rem; align-items: flex-start }}
  figure {{ margin: 0; background: #fff; border-radius: 10px; padding: 14px; box-shadow: 0 1px 6px #0002 }}
  video, img {{ display: block; border-radius: 4px; image-rendering: pixelated; max-width: 100% }}
  .pair {{ display: flex; gap: 10px }}
  figcaption {{ max-width: {caption}px; padding-top: 10px }}
  small {{ color: #777; display: block; padding-top: 4px; overflow-wrap: anywhere }}
</style>
<header>
<h1>{title}</h1>
<p>{about}</p>
</header>
<main>
{figures}
</main>
</html>
"""


def figure(path: Path, origin: dict[str, Any]) -> str:
    """Return the HTML of one video or picture with its prompt and settings."""
    size = f'width="{origin["width"] * SCALE}" height="{origin["height"] * SCALE}"'
    name = html.escape(path.name)
    shown = f'<img src="{name}" {size} alt="">' if path.suffix in (".png", ".jpg", ".webp", ".gif") else (
        f'<video src="{name}" {size} autoplay loop muted playsinline controls></video>'
    )  # fmt: skip
    if (path.parent / "from" / f"{path.stem}.png").is_file():
        shown = f'<div class="pair"><img src="from/{html.escape(path.stem)}.png" {size} alt="">{shown}</div>'
    count, fps = origin["num_frames"], origin["fps"]
    length = "a picture" if count == 1 else f"{count} frames, {count / fps:.2g} s at {fps:g} fps"
    facts = [origin["task"], f"{origin['width']}x{origin['height']}", length, f"seed {origin['seed']}"]
    facts += [f"{origin['num_steps']} {origin['solver']} steps", f"guidance {origin['guidance_scale']:g}"]
    facts += [f"made in {sum(origin['seconds'].values()):.1f} s", *origin["notes"]]
    prompt = origin["prompt"]
    if not isinstance(prompt, str):
        prompt = " / ".join(f"{seconds:g} s: {text}" for seconds, text in prompt)
    caption = f"<figcaption>{html.escape(prompt)}<small>{html.escape(' - '.join(facts))}</small></figcaption>"
    return f"<figure>{shown}{caption}</figure>"


def copy_start_picture(path: Path, origin: dict[str, Any]) -> None:
    """Save the picture that a video was animated from, as the model saw it, into the folder `from`."""
    source = Path(origin.get("given", [""])[0])
    if origin["task"] == "animate a picture" and source.is_file():
        (path.parent / "from").mkdir(exist_ok=True)
        fitted, _ = video.fit(video.read_image(source), origin["height"], origin["width"])
        video.write_image(path.parent / "from" / f"{path.stem}.png", fitted)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    found = []
    for path in sorted(
        path for path in folder.iterdir() if path.suffix in SUFFIXES and not path.stem.endswith(".part")
    ):
        origin = video.read_origin(path)
        if origin and "prompt" in origin:
            copy_start_picture(path, origin)
            found.append((path.stat().st_mtime, figure(path, origin), origin))
    if not found:
        raise SystemExit(f"{folder} holds no files that chronotope generated")
    found.sort(key=lambda item: item[0])
    first = found[0][2]
    about = f"Made by {first['program']} from the prompt under each: transformer {first['model']['dit']}, "
    about += f"autoencoder {first['model']['autoencoder']}."
    figures = "\n".join(shown for _, shown, _ in found)
    page = PAGE.format(title=TITLE, about=html.escape(about), figures=figures, caption=96 * SCALE)
    index = folder / "index.html"
    if index.exists() and TITLE not in index.read_text(errors="replace"):
        raise SystemExit(f"{index} exists and was not made by this program; move it away")
    write_atomically(index, page)
    print(index)


if __name__ == "__main__":
    main()
