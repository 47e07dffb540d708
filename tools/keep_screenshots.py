"""Write the pictures of docs/studio: ten states of the page of `chronotope serve`, made by the shipped model.

They need playwright and chromium. `--shown FOLDER` holds a dataset, a training run and a report.

python tools/keep_screenshots.py --shown out/tiny
"""

from __future__ import annotations

import argparse
import io
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

from tests.serve.browsers import Visit, chromium, wait_for
from tests.serve.servers import Program, call, program

TARGET = Path(__file__).resolve().parent.parent / "docs" / "studio"
PROMPT = "a fox walks to the left at night"
QUALITY = 82


def keep(visit: Visit, name: str, whole: bool = False) -> None:
    """Write what the page looks like now."""
    visit.page.wait_for_timeout(400)
    shot = Image.open(io.BytesIO(visit.page.screenshot(full_page=whole)))
    shot.convert("RGB").save(TARGET / f"{name}.webp", quality=QUALITY, method=6)
    print(f"{name}: {(TARGET / f'{name}.webp').stat().st_size / 1000:.0f} kB")


def video(server: Program, **fields: Any) -> dict[str, Any]:
    """A finished video."""
    return server.wait(call(server.url, "POST", "/v1/generations", {"prompt": PROMPT, **fields})[2]["id"])


def on_timeline(visit: Visit, job: dict[str, Any]) -> None:
    """Put a video of the gallery on the timeline."""
    visit.page.locator(f"input[value={job['id']}]").locator("xpath=ancestor::li").locator(".thumb").click()
    visit.page.locator(".stage video").wait_for()
    visit.click("Put on timeline")


def first_states(browser: Any, server: Program) -> dict[str, Any]:
    """The first visit, a prompt that is read, and its video; returns the video."""
    visit = Visit(browser, server.url)
    keep(visit, "first-visit")
    visit.prompt("a kitten strolls to the right while a ball spins")
    visit.page.locator(".chance").wait_for()
    keep(visit, "prompt")
    visit.prompt(PROMPT)
    (job,) = visit.ordered(lambda: visit.click("Make it"))
    visit.page.locator(".stage video").wait_for()
    visit.click("Explain")
    visit.page.locator(".explain").wait_for()
    keep(visit, "explain")
    visit.close()
    return job


def tasks(browser: Any, server: Program, job: dict[str, Any]) -> None:
    """The timeline with a clip to extend, two clips to connect, a mask, and a story."""
    visit = Visit(browser, server.url)
    on_timeline(visit, job)
    visit.click("Extend both ways")
    keep(visit, "extend")
    visit.click("Inpaint")
    box = wait_for(lambda: visit.page.locator(".easel").bounding_box())
    visit.page.mouse.move(box["x"] + 60, box["y"] + 50)
    visit.page.mouse.down()
    visit.page.mouse.move(box["x"] + 220, box["y"] + 120, steps=8)
    visit.page.mouse.up()
    keep(visit, "mask")
    visit.press("Escape")
    visit.click("Clear timeline")
    visit.click("Story")
    visit.prompt("the fox stops")
    keep(visit, "story")
    visit.close()


def gallery(browser: Any, server: Program) -> None:
    """A queue that runs, and seeds side by side; in the dark."""
    done = [video(server, seed=seed) for seed in (1, 2, 3)]
    names = [
        call(server.url, "POST", "/v1/generations", {"prompt": text, "num_inference_steps": 150})[2]["id"]
        for text in (PROMPT, "a blue car drives to the right by the sea", "a fish eats a green apple")
    ]
    visit = Visit(browser, server.url, scheme="dark")
    visit.click("a blue car drives to the right by the sea")
    visit.page.get_by_role("button", name=PROMPT).first.click()
    wait_for(lambda: visit.page.locator(".stage img").count() == 1)
    wait_for(lambda: call(server.url, "GET", f"/v1/generations/{names[0]}")[2]["step"] > 40)  # it can be recognised
    keep(visit, "queue")
    for name in names[::-1]:
        call(server.url, "DELETE", f"/v1/generations/{name}")
    for job in done:
        visit.page.locator(f"input[value={job['id']}]").check()
    visit.click("Compare 3 side by side")
    wait_for(lambda: visit.page.locator(".compare video").count() == 3)
    visit.page.locator(".compare").scroll_into_view_if_needed()
    keep(visit, "compare")
    visit.close()


def others(browser: Any, server: Program) -> None:
    """A report in the folders, and the page on a phone."""
    visit = Visit(browser, server.url)
    visit.page.get_by_role("link", name="Folders").click()
    visit.page.get_by_role("button", name="Report").first.click()
    visit.page.locator(".rates").first.wait_for()
    keep(visit, "folders")
    visit.close()
    phone = Visit(browser, server.url, width=390, height=844)
    phone.click(PROMPT)
    phone.page.locator(".chance").wait_for()
    keep(phone, "phone")
    phone.close()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--shown", type=Path, required=True, help="a folder with a dataset, a run and a report")
    shown = options.parse_args().shown
    TARGET.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        chromium() as browser,
        program(Path(folder) / "jobs", "small", "--show", str(shown)) as server,
    ):
        job = first_states(browser, server)
        tasks(browser, server, job)
        gallery(browser, server)
        others(browser, server)


if __name__ == "__main__":
    main()
