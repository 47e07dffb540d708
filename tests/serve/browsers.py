"""A browser for tests of the page: Debian's chromium, driven by playwright; what it may not do is noted."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.serve.servers import call

CHROMIUM = shutil.which("chromium")
AXE = Path(__file__).resolve().parents[2] / "studio" / "node_modules" / "axe-core" / "axe.min.js"
PATIENCE_SECONDS = 120.0
MAX_TABS = 150

# A script after which the first answer to a call waits for `release()`
HOLD = """part => {
  const send = window.fetch;
  window.fetch = async (path, options) => {
    const answer = await send(path, options);
    const first = !window.release && path.includes(part);
    if (first) await new Promise((go) => (window.release = go));
    return answer;
  };
}"""

# A script that counts what the page fetched for its elements, and what of it is kept in memory
FETCHED = """
window.fetched = 0; window.kept = new Set();
const make = URL.createObjectURL.bind(URL), revoke = URL.revokeObjectURL.bind(URL);
URL.createObjectURL = (blob) => { const url = make(blob); window.fetched++; window.kept.add(url); return url; };
URL.revokeObjectURL = (url) => { window.kept.delete(url); revoke(url); };
"""
SHOWN = "window.kept.size <= document.querySelectorAll('[src^=\"blob:\"]').length"


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser; the test is skipped where playwright or chromium is missing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install 'chronotope[dev]'")
    if CHROMIUM is None:
        pytest.skip("needs chromium: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        try:
            yield found
        finally:
            found.close()


class Visit:
    """A page of the studio, opened as by a new user; counts the actions, and notes errors and requests elsewhere."""

    def __init__(self, browser: Any, url: str, width: int = 1360, height: int = 1000, scheme: str = "light") -> None:
        self.url = url
        self.context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        self.page = self.context.new_page()
        self.page.set_default_timeout(1000 * PATIENCE_SECONDS)
        self.actions, self.errors, self.elsewhere = 0, list[str](), list[str]()
        self.page.on("pageerror", lambda problem: self.errors.append(str(problem)))
        self.page.on("request", self._note)
        self.page.goto(url)
        self.page.get_by_role("status").filter(has_text="is ready").wait_for()

    def _note(self, request: Any) -> None:
        if not request.url.startswith((self.url, "blob:", "data:")):
            self.elsewhere.append(request.url)

    def close(self) -> None:
        """Leave the page; nothing went wrong in it, and it asked no other host."""
        self.context.close()
        assert (self.errors, self.elsewhere) == ([], [])

    # Mouse

    def click(self, name: str, role: str = "button", exact: bool = True) -> None:
        """Click what has a name."""
        self.actions += 1
        self.page.get_by_role(role, name=name, exact=exact).first.click()

    def drag(self, name: str, x: float, y: float = 0) -> None:
        """Drag a slider of the page by pixels."""
        self.actions += 1
        handle = self.page.get_by_role("slider", name=name).first
        handle.scroll_into_view_if_needed()
        box = handle.bounding_box()
        middle = (box["x"] + min(box["width"], 40) / 2, box["y"] + box["height"] / 2)
        self.page.mouse.move(*middle)
        self.page.mouse.down()
        self.page.mouse.move(middle[0] + x / 2, middle[1] + y / 2)
        self.page.mouse.move(middle[0] + x, middle[1] + y, steps=4)
        self.page.mouse.up()

    # Keyboard

    def tab_to(self, name: str) -> None:
        """Press Tab until the focus is on what has a name, as a user without a mouse does."""
        for _ in range(MAX_TABS):
            self.page.keyboard.press("Tab")
            if self.page.evaluate(FOCUSED).startswith(name):
                return
        raise AssertionError(f"Tab does not reach '{name}'")

    def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        for key in keys:
            self.page.keyboard.press(key)

    # What the page shows

    def caption(self) -> str:
        """What the page says that will be made."""
        return str(self.page.locator("#caption").inner_text())

    def prompt(self, text: str) -> None:
        """Type a prompt."""
        self.actions += 1
        self.page.get_by_role("textbox", name="What should be seen?").fill(text)

    def jobs(self) -> list[dict[str, Any]]:
        """The jobs of the service, the newest first."""
        return list(call(self.url, "GET", "/v1/generations?limit=100")[2]["data"])

    def ordered(self, act: Callable[[], Any], count: int = 1) -> list[dict[str, Any]]:
        """The jobs that an action causes, oldest first."""
        before = {job["id"] for job in self.jobs()}
        act()
        return wait_for(lambda: self._new(before, count))

    def _new(self, before: set[str], count: int) -> list[dict[str, Any]]:
        found = [job for job in self.jobs() if job["id"] not in before]
        return found[::-1] if len(found) >= count else []

    def make(self) -> dict[str, Any]:
        """Click the button that makes it; return the order of the job."""
        (job,) = self.ordered(lambda: self.click("Make it"))
        return self.order(job)

    def order(self, job: dict[str, Any]) -> dict[str, Any]:
        """What was asked for with a job."""
        return {**call(self.url, "GET", f"/v1/generations/{job['id']}/order")[2], "id": job["id"]}

    def violations(self) -> list[str]:
        """What axe-core finds wrong with the page as it is."""
        if not AXE.is_file():
            pytest.skip("needs axe-core: npm ci in studio/")
        self.page.evaluate(AXE.read_text(encoding="utf-8"))
        found = self.page.evaluate("async () => (await axe.run()).violations")
        return [f"{one['id']}: {json.dumps([node['html'][:160] for node in one['nodes'][:3]])}" for one in found]


FOCUSED = """() => {
  const one = document.activeElement;
  if (!one) return "";
  const label = one.labels && one.labels[0] ? one.labels[0].innerText : "";
  return one.getAttribute("aria-label") || label || one.innerText || "";
}"""


def wait_for(look: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> Any:
    """Look until something is there."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := look():
            return found
        time.sleep(0.1)
    raise AssertionError(f"waited {seconds:g} s in vain")
