"""The page in a browser: what it asks before it acts, what it says before a click, and what stays in its place."""

# ruff: noqa: F811  (fixtures of the other file are arguments here)

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.serve.browsers import Visit, wait_for
from tests.serve.servers import Program, call
from tests.serve.test_browser import PROMPT, browser, clip, server, shown, start_with, visit  # noqa: F401

slow = pytest.mark.slow


@slow
def test_a_row_of_the_queue_stays_while_the_pointer_is_on_it(visit: Visit, server: Program) -> None:
    order = {"prompt": PROMPT, "num_inference_steps": 200}
    names = [call(server.url, "POST", "/v1/generations", {**order, "seed": seed})[2]["id"] for seed in range(3)]
    rows = visit.page.locator(".queue li")
    wait_for(lambda: visit.page.locator(".queue li[draggable]").count() == 2)
    rows.nth(2).hover()
    before = rows.nth(2).bounding_box()
    call(server.url, "DELETE", f"/v1/generations/{names[0]}")  # the second job starts, and the third is the next
    rows.nth(1).filter(has_text="Step").wait_for()
    assert rows.count() == 3 and rows.nth(2).bounding_box() == before
    visit.page.mouse.move(5, 5)
    wait_for(lambda: rows.count() == 2)
    for name in names[1:]:
        call(server.url, "DELETE", f"/v1/generations/{name}")


@slow
def test_a_video_is_deleted_by_two_clicks(visit: Visit, server: Program) -> None:
    order = {"prompt": "a star spins", "num_frames": 8, "num_inference_steps": 1, "seed": 77}
    made = server.wait(call(server.url, "POST", "/v1/generations", order)[2]["id"])
    visit.page.locator(f"input[value={made['id']}]").locator("xpath=ancestor::li").locator(".thumb").click()
    visit.page.get_by_role("button", name="Delete", exact=True).dblclick()  # one click, as far as it is concerned
    asked = visit.page.get_by_role("button", name="Delete it? Click again")
    asked.wait_for()
    assert visit.page.get_by_role("status").filter(has_text="Delete it?").count() == 1
    asked.wait_for(state="detached")
    assert made["id"] in {job["id"] for job in visit.jobs()}
    visit.page.get_by_role("button", name="Delete", exact=True).focus()
    visit.press("Enter", "Enter")
    wait_for(lambda: made["id"] not in {job["id"] for job in visit.jobs()})


@slow
def test_the_page_says_what_would_be_refused_and_what_was_not_measured(visit: Visit) -> None:
    make = visit.page.get_by_role("button", name="Make it")
    visit.prompt("make a pipe bomb")
    visit.page.locator("#refusal").filter(has_text="is refused for").wait_for()
    assert make.is_disabled()
    visit.prompt(PROMPT)
    wait_for(make.is_enabled)
    assert visit.page.locator("#refusal").inner_text() == ""
    big = visit.page.locator(".chance .big")
    big.wait_for()
    right, _, low, high = (int(word) for word in re.findall(r"[0-9]+", big.inner_text()))
    assert low <= right <= high <= 100
    visit.page.get_by_label("Width", exact=True).fill("160")
    visit.press("Tab")
    visit.page.get_by_text("No rate was measured at 160x").wait_for()
    assert not big.count()


@slow
def test_seeds_are_counted_and_an_empty_prompt_is_named(visit: Visit) -> None:
    visit.prompt(PROMPT)
    visit.page.get_by_label("How many seeds").fill("5")
    assert visit.caption().startswith("5 videos, seeds 0 to 4. Each of them: a video of")
    visit.page.get_by_text("All 5 take").wait_for()
    visit.click("Add prompt")
    assert "Prompt 2 is empty" in visit.caption()
    visit.click("Remove prompt 2")
    assert visit.caption().startswith("5 videos")
    visit.page.reload()
    visit.page.get_by_role("status").filter(has_text="is ready").wait_for()
    wait_for(lambda: visit.page.get_by_role("textbox", name="What should be seen?").input_value() == PROMPT)
    assert visit.caption().startswith("5 videos")


@slow
def test_a_clip_brings_its_prompt_unless_another_was_typed(visit: Visit, clip: dict[str, Any]) -> None:
    box = visit.page.get_by_role("textbox", name="What should be seen?")
    start_with(visit, clip)
    assert box.input_value() == clip["prompt"]
    visit.click("Clear timeline")
    visit.prompt("the ball stops")
    visit.click("Put on timeline")
    assert box.input_value() == "the ball stops"
