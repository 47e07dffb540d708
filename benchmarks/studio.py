"""How fast the page of the service answers while a video is sampled, how large it is, and how many actions it needs.

python -m benchmarks.studio     writes benchmarks/studio.json; it needs playwright and chromium
"""

from __future__ import annotations

import gzip
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chronotope.storage import write_json
from tests.serve.browsers import Visit, chromium
from tests.serve.servers import Program, call, program

ROOT = Path(__file__).resolve().parent.parent
BUILT = ROOT / "chronotope" / "serve" / "studio" / "built"
PROMPT = "a red ball rolls to the right"
STEPS = 200

# `handled` is from the event to the changed page, the work of this program; `painted` to the frame that shows it, for
# which the browser waits for a processor, too. The callback within the other comes after the frame was painted.
MEASURE = """() => {
  window.took = { handled: [], painted: [] };
  const note = () => {
    const began = performance.now();
    const end = (kind) => () => window.took[kind].push(performance.now() - began);
    setTimeout(end("handled"));
    requestAnimationFrame(() => setTimeout(end("painted")));
  };
  for (const kind of ["keydown", "pointerdown", "click"]) addEventListener(kind, note, { capture: true });
}"""


def interactions(visit: Visit, server: Program) -> dict[str, Any]:
    """Milliseconds from an event to the changed page and to the next painted frame, while jobs run."""
    for seed in range(3):
        order = {"prompt": PROMPT, "num_inference_steps": STEPS, "seed": seed}
        call(server.url, "POST", "/v1/generations", order)
    visit.page.locator(".queue progress").wait_for()
    visit.page.evaluate(MEASURE)
    visit.page.get_by_role("textbox", name="What should be seen?").click()
    visit.page.keyboard.type("a fox walks to the left", delay=60)
    steps: list[Callable[[], None]] = [
        lambda: visit.drag("Length", 40),
        lambda: visit.click("Loop"),
        lambda: visit.click("Story"),
        lambda: visit.drag("Size of the frame", 30, 20),
        lambda: visit.click("Clear timeline"),
        lambda: visit.page.get_by_text("Words the model knows").click(),
        lambda: visit.click("rabbit"),
    ]
    for step in steps:
        step()
    visit.page.wait_for_timeout(500)
    took = visit.page.evaluate("window.took")
    assert any(job["status"] == "in_progress" for job in visit.jobs()), "the jobs ended too soon"
    for job in visit.jobs():
        call(server.url, "DELETE", f"/v1/generations/{job['id']}")
    return {"events": len(took["painted"]), **{f"{kind}_ms": spread(took[kind]) for kind in ("handled", "painted")}}


def spread(milliseconds: list[float]) -> dict[str, float]:
    """The median, the 95th percentile and the most."""
    share = statistics.quantiles(milliseconds, n=20)[-1]
    named = {"median": statistics.median(milliseconds), "p95": share, "most": max(milliseconds)}
    return {name: round(value, 1) for name, value in named.items()}


def first_video(visit: Visit) -> dict[str, Any]:
    """Actions and seconds from a first visit to a video that plays."""
    visit.click(PROMPT)
    visit.click("Make it")
    began = time.monotonic()
    visit.page.locator(".stage img, .stage video").first.wait_for()
    preview = time.monotonic() - began
    visit.page.locator(".stage video").wait_for()
    return {
        "actions": visit.actions,
        "preview_seconds": round(preview, 2),
        "video_seconds": round(time.monotonic() - began, 2),
    }


def main() -> None:
    names = ("index.html", "studio.js", "studio.css")
    with tempfile.TemporaryDirectory() as root, chromium() as browser, program(Path(root) / "jobs", "small") as server:
        visit = Visit(browser, server.url)
        found = {
            "first_load_bytes": sum(len(gzip.compress((BUILT / name).read_bytes(), 6)) for name in names),
            "first_video": first_video(visit),
            "while_a_job_runs": interactions(visit, server),
            "load_average": round(os.getloadavg()[0], 1),
            "cores": os.cpu_count(),
        }
        visit.close()
    write_json(ROOT / "benchmarks" / "studio.json", found)
    print(found)


if __name__ == "__main__":
    main()
