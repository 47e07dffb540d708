"""The page in a browser: a first video, every task by mouse and by keyboard alone, a killed server, accessibility."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chronotope.jsonl import write_jsonl
from chronotope.media import video
from tests.serve.browsers import FETCHED, HOLD, SHOWN, Visit, chromium, wait_for
from tests.serve.servers import Program, call, program

slow = pytest.mark.slow
PROMPT = "a red ball rolls to the right"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a training run and a dataset."""
    root = tmp_path_factory.mktemp("shown")
    (root / "run").mkdir()
    (root / "clips").mkdir()
    write_jsonl(root / "clips" / "manifest.jsonl", [{"key": "a", "caption": "a ball"}])
    write_jsonl(root / "run" / "log.jsonl", [{"step": step, "loss": 1 / step} for step in range(1, 40)])
    (root / "run" / "config.toml").write_text("seed = 0\n")
    return root


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, shown: Path, browser: Any) -> Iterator[Program]:
    with program(tmp_path_factory.mktemp("service") / "jobs", "small", "--show", str(shown)) as found:
        yield found


@pytest.fixture
def visit(browser: Any, server: Program) -> Iterator[Visit]:
    found = Visit(browser, server.url)
    yield found
    found.close()


@pytest.fixture(scope="module")
def clip(server: Program) -> dict[str, Any]:
    """A finished video of two seconds."""
    order = {"prompt": PROMPT, "num_frames": 16, "num_inference_steps": 1}
    return server.wait(call(server.url, "POST", "/v1/generations", order)[2]["id"])


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("picture") / "sky.png"
    video.write_image(path, np.full((64, 96, 3), (40, 90, 200), np.uint8))
    return path


def few_steps(visit: Visit) -> None:
    visit.page.get_by_text("More settings").click()
    visit.page.get_by_label("Steps", exact=True).fill("1")


def start_with(visit: Visit, clip: dict[str, Any]) -> None:
    """Put a clip on the timeline, by the gallery."""
    few_steps(visit)
    listed = visit.page.locator(f"input[value={clip['id']}]")
    visit.page.locator(".gallery li").first.wait_for()
    if not listed.count():  # earlier tests have made many since
        visit.page.get_by_role("button", name="Show older ones").click()
    listed.locator("xpath=ancestor::li").locator(".thumb").click()
    visit.click("Put on timeline")


def test_a_first_visit_ends_with_a_watched_video_after_two_actions(visit: Visit, server: Program) -> None:
    visit.click(PROMPT)
    visit.click("Make it")
    player = visit.page.locator(".stage video")
    player.wait_for()
    wait_for(lambda: player.evaluate("video => !video.paused && video.currentTime > 0.2"))
    assert visit.actions == 2
    (job,) = [job for job in visit.jobs() if job["prompt"] == PROMPT]
    assert job["status"] == "completed"
    assert visit.page.locator(".gallery li").count() == 1


# Every task by mouse


def extend(visit: Visit) -> None:
    visit.drag("Length", 60)


def backward(visit: Visit) -> None:
    visit.drag("Start of Clip", 90)
    visit.click("Extend backward")


def loop(visit: Visit) -> None:
    visit.drag("Length", 60)
    visit.page.get_by_label("Ends where it begins").check()


def edit(visit: Visit) -> None:
    visit.page.get_by_label("Noise level").fill("0.7")


def retake(visit: Visit) -> None:
    visit.click("Retake")
    visit.page.locator(".beat").first.focus()  # the prompt is selected, and the clip is not
    visit.drag("Made again from", 30)


def inpaint(visit: Visit) -> None:
    visit.click("Inpaint")
    box = visit.page.locator(".easel").bounding_box()
    visit.page.mouse.move(box["x"] + 40, box["y"] + 40)
    visit.page.mouse.down()
    visit.page.mouse.move(box["x"] + 200, box["y"] + 160, steps=5)
    visit.page.mouse.up()
    visit.click("Use this mask")
    visit.page.locator("dialog.mask").wait_for(state="detached")


def outpaint(visit: Visit) -> None:
    visit.drag("Size of the frame", 40, 40)


def connect(visit: Visit) -> None:
    visit.click("Put on timeline")
    visit.drag("Start of Clip", 30)  # the first of the two
    visit.click("Connect")


def expect(order: dict[str, Any], **fields: Any) -> None:
    for name, value in fields.items():
        assert value(order[name]) if callable(value) else order[name] == value, (name, order[name])


BY_MOUSE: list[tuple[Callable[[Visit], None], dict[str, Any]]] = [
    (extend, dict(task="extend", num_frames=lambda n: n >= 1)),
    (backward, dict(task="extend_backward", num_frames=lambda n: n >= 4)),
    (loop, dict(task="loop", num_frames=lambda n: n >= 1)),
    (edit, dict(task="edit", strength=0.7, num_frames=None)),
    (retake, dict(task="retake", start=lambda s: s > 0.65, stop=2.0, mask=None)),
    (inpaint, dict(task="retake", mask=lambda name: name.startswith("file_"), start=None)),
    (outpaint, dict(task="retake", size=lambda size: size[0] > 96 and size[1] > 64, mask=None)),
    (connect, dict(task="connect", into=lambda name: name.startswith("file_"), num_frames=8)),
]


@slow
@pytest.mark.parametrize(("gesture", "fields"), BY_MOUSE, ids=lambda value: getattr(value, "__name__", ""))
def test_a_task_of_a_clip_by_mouse(
    visit: Visit, server: Program, clip: dict[str, Any], gesture: Callable[[Visit], None], fields: dict[str, Any]
) -> None:
    start_with(visit, clip)
    gesture(visit)
    order = visit.make()
    expect(order, video=lambda name: name.startswith("file_"), **fields)
    job = server.wait(order["id"])
    assert job["status"] == "completed", job["error"]
    visit.page.locator(f"input[value={order['id']}]").wait_for()
    assert visit.actions <= 10


@slow
def test_both_ways_are_two_jobs_and_the_second_is_of_the_first(
    visit: Visit, server: Program, clip: dict[str, Any]
) -> None:
    start_with(visit, clip)
    visit.click("Extend both ways")
    first, second = visit.ordered(lambda: visit.click("Make it"), count=2)
    assert (first["task"], second["task"]) == ("extend", "extend_backward")
    visit.page.goto("about:blank")  # the server starts the second one
    assert server.wait(second["id"])["num_frames"] == 16 + 8 + 8


@slow
def test_a_reload_keeps_the_timeline_and_a_mask_holds_for_chosen_frames(
    visit: Visit, server: Program, clip: dict[str, Any]
) -> None:
    start_with(visit, clip)
    inpaint(visit)
    assert "in all frames" in visit.caption()
    visit.drag("Made again from", 60)
    caption = visit.caption()
    assert " from " in caption and "of the frame" in caption
    visit.page.reload()
    wait_for(lambda: visit.caption() == caption)
    order = visit.make()
    expect(order, task="retake", mask=lambda name: name.startswith("file_"), start=lambda s: 0 < s < 2)
    call(server.url, "DELETE", f"/v1/files/{order['mask']}")


@slow
def test_pictures_and_stories_by_mouse(visit: Visit, server: Program, picture: Path) -> None:
    few_steps(visit)
    visit.prompt(PROMPT)
    with visit.page.expect_file_chooser() as chooser:
        visit.click("Add picture or clip")
    chooser.value.set_files(picture)
    visit.page.get_by_role("slider", name="Start of Picture sky.png").wait_for()
    visit.click("Animate")
    animated = visit.make()
    expect(animated, task=None, at=[0.0], images=lambda names: len(names) == 1)
    with visit.page.expect_file_chooser() as chooser:
        visit.click("Add picture or clip")
    chooser.value.set_files(picture)
    wait_for(lambda: visit.page.get_by_role("slider", name="Start of Picture sky.png").count() == 2)
    visit.click("Keyframes")
    framed = visit.make()
    expect(framed, task=None, at=[0.0, 2.0], num_frames=17)
    visit.click("Clear timeline")
    visit.click("Story")
    visit.prompt("the ball stops")
    visit.drag("Start of prompt 2", 20)
    told = visit.make()
    expect(told, story=lambda story: [text for _, text in story] == [PROMPT, "the ball stops"] and story[1][0] > 1)
    for order in (animated, framed, told):
        assert server.wait(order["id"])["status"] == "completed"


# Every task by keyboard alone


def by_keyboard(visit: Visit, name: str, *keys: str) -> Callable[[], dict[str, Any]]:
    def act() -> dict[str, Any]:
        visit.tab_to(name)
        visit.press(*keys)
        visit.tab_to("Make it")
        (job,) = visit.ordered(lambda: visit.press("Enter"))
        return visit.order(job)

    return act


@slow
def test_every_task_by_keyboard_alone(visit: Visit, server: Program, clip: dict[str, Any]) -> None:
    del clip  # it is in the gallery
    visit.tab_to("What should be seen?")
    visit.page.keyboard.type(PROMPT)
    visit.tab_to("More settings")
    visit.press("Enter")
    visit.tab_to("Steps")
    visit.page.keyboard.type("1")
    visit.tab_to("Story")
    visit.press("Enter")
    visit.page.keyboard.type("the ball stops")
    visit.tab_to("Start of prompt 2")
    visit.press("ArrowRight", "ArrowRight")
    visit.tab_to("Make it")
    (job,) = visit.ordered(lambda: visit.press("Enter"))
    expect(visit.order(job), story=lambda story: story[1] == [1.25, "the ball stops"])
    visit.tab_to("Clear timeline")
    visit.press("Enter")
    visit.tab_to(f"Show {PROMPT}")
    visit.press("Enter")
    visit.tab_to("Put on timeline")
    visit.press("Enter")
    visit.tab_to("Length")
    visit.press("ArrowRight", "ArrowRight")
    expect(by_keyboard(visit, "Extend", "Enter")(), task="extend")
    expect(by_keyboard(visit, "Extend backward", "Enter")(), task="extend_backward")
    expect(by_keyboard(visit, "Loop", "Enter")(), task="loop")
    expect(by_keyboard(visit, "Edit", "Enter")(), task="edit", strength=0.9)
    visit.tab_to("Retake")
    visit.press("Enter")
    expect(by_keyboard(visit, "Made again from", "ArrowRight")(), task="retake", stop=lambda stop: stop > 0)
    visit.tab_to("Inpaint")
    visit.press("Enter")
    visit.tab_to("Add rectangle")
    visit.press("Enter")
    visit.tab_to("Use this mask")
    visit.press("Enter")
    visit.page.locator("dialog.mask").wait_for(state="detached")
    visit.tab_to("Make it")
    (job,) = visit.ordered(lambda: visit.press("Enter"))
    expect(visit.order(job), task="retake", mask=lambda name: name is not None)
    expect(by_keyboard(visit, "Outpaint", "Enter")(), task="retake", size=lambda size: size[0] > 96)
    visit.tab_to(f"Show {PROMPT}")
    visit.press("Enter")
    visit.tab_to("Put on timeline")
    visit.press("Enter")
    expect(by_keyboard(visit, "Connect", "Enter")(), task="connect")
    assert all(server.wait(job["id"])["status"] == "completed" for job in visit.jobs())


# The queue, the gallery and the screen


@slow
def test_the_queue_is_reordered_and_cancelled(visit: Visit, server: Program) -> None:
    long = {"prompt": "a blue car drives to the right", "num_inference_steps": 200}
    names = [call(server.url, "POST", "/v1/generations", {**long, "seed": seed})[2]["id"] for seed in range(4)]
    waiting = visit.page.locator(".queue li[draggable]")
    wait_for(lambda: waiting.count() == 3)
    visit.page.get_by_role("button", name="Later").first.click()
    positions = lambda: [call(server.url, "GET", f"/v1/generations/{name}")[2]["position"] for name in names[1:]]  # noqa: E731
    wait_for(lambda: positions() == [1, 0, 2])
    for left in (2, 1, 0):
        waiting.first.get_by_role("button", name="Cancel").click()
        wait_for(lambda left=left: waiting.count() == left)
    cancel = visit.page.get_by_role("button", name="Cancel")
    cancel.click()  # the job is being made, so the page asks first
    visit.page.wait_for_timeout(1000)
    visit.page.locator(".queue button.asks").click()
    states = lambda: [call(server.url, "GET", f"/v1/generations/{name}")[2] for name in names]  # noqa: E731
    wait_for(lambda: all(job["status"] == "failed" and job["error"]["code"] == "cancelled" for job in states()))
    for name in names:
        call(server.url, "DELETE", f"/v1/generations/{name}")


@slow
def test_a_cancelled_job_is_shown_and_made_again(visit: Visit, server: Program) -> None:
    order = {"prompt": PROMPT, "num_inference_steps": 200}
    failed = call(server.url, "POST", "/v1/generations", order)[2]
    call(server.url, "POST", f"/v1/generations/{failed['id']}/cancel")
    visit.page.locator(".queue").get_by_text("Cancelled").wait_for()
    (again,) = visit.ordered(lambda: visit.click("Make again", exact=False))
    assert again["prompt"] == PROMPT and again["id"] != failed["id"]
    wait_for(lambda: failed["id"] not in {job["id"] for job in visit.jobs()})
    call(server.url, "DELETE", f"/v1/generations/{again['id']}")


@slow
def test_a_draft_becomes_a_final_of_the_same_seed(visit: Visit, server: Program) -> None:
    visit.prompt(PROMPT)
    visit.page.get_by_label("Draft").check()
    visit.page.get_by_label("Seed", exact=True).fill("5")
    draft = visit.make()
    visit.page.get_by_role("button", name="Make the final of this seed").wait_for()
    (final,) = visit.ordered(lambda: visit.click("Make the final of this seed"))
    assert (draft["draft"], draft["seed"]) == (True, 5)
    expect(visit.order(final), draft=False, seed=5)
    server.wait(final["id"])


@slow
def test_frames_are_stepped_by_keys_and_videos_compared(visit: Visit, server: Program, clip: dict[str, Any]) -> None:
    other = {"prompt": PROMPT, "num_frames": 16, "num_inference_steps": 1, "seed": 3}
    second = server.wait(call(server.url, "POST", "/v1/generations", other)[2]["id"])
    start_with(visit, clip)
    visit.page.locator(".stage .screen").focus()
    visit.page.locator(".stage video").wait_for()
    wait_for(lambda: visit.page.locator(".stage video").evaluate("video => !video.paused"))
    visit.press("Space")
    visit.page.wait_for_timeout(300)  # the counter follows the video
    before = int(visit.page.locator(".counter").inner_text().split()[1])
    visit.press("ArrowRight", "ArrowRight", "ArrowLeft")
    assert int(visit.page.locator(".counter").inner_text().split()[1]) == before % 16 + 1
    for name in (clip["id"], second["id"]):
        visit.page.locator(f"input[value={name}]").check()
    visit.click("Compare 2 side by side")
    wait_for(lambda: visit.page.locator(".compare video").count() == 2)
    row = visit.page.locator(".compare tr", has_text="seed")
    assert sorted(row.locator("td").all_inner_texts()) == ["0", "3"]
    visit.click("Explain")
    assert "1 step of the euler solver" in visit.page.locator(".explain").inner_text()


@slow
def test_an_output_that_is_dropped_restores_everything(
    visit: Visit, server: Program, clip: dict[str, Any], tmp_path: Path
) -> None:
    fields = dict(prompt="the ball stops", task="extend", video=clip["id"], num_frames=8, seed=11, expand=False)
    made = server.wait(
        call(server.url, "POST", "/v1/generations", {**fields, "num_inference_steps": 2, "guidance_scale": 2})[2]["id"]
    )
    content = call(server.url, "GET", f"/v1/generations/{made['id']}/content")[2]
    own, foreign = tmp_path / "own.mp4", tmp_path / "foreign.mp4"
    own.write_bytes(content)
    chooser = visit.page.locator("#media")
    chooser.set_input_files(own)
    visit.page.get_by_role("slider", name="Start of Clip").wait_for()
    order = visit.make()
    asked = visit.order(made)
    same = ("story", "task", "num_frames", "seed", "steps", "guidance", "draft", "size", "expand")
    assert [order[name] for name in same] == [asked[name] for name in same]
    foreign.write_bytes(content + b"\0" * 8)  # the settings alone, as from another machine
    chooser.set_input_files(foreign)
    visit.page.get_by_text("pictures and clips are not in the file").wait_for()
    assert visit.page.get_by_label("Seed", exact=True).input_value() == "11"
    assert not visit.page.get_by_label("Write my prompt in the words").is_checked()
    assert visit.page.get_by_role("textbox", name="What should be seen?").input_value() == "the ball stops"


@slow
def test_a_training_run_is_followed_while_it_is_written(visit: Visit, shown: Path) -> None:
    visit.page.get_by_role("link", name="Folders").click()
    visit.page.get_by_role("button", name="run").click()
    visit.page.get_by_text("39 logged rows").wait_for()
    assert visit.page.locator(".curves polyline").count() == 1
    with (shown / "run" / "log.jsonl").open("a") as file:
        file.write('{"step": 40, "loss": 0.02}\n')
    visit.page.get_by_text("40 logged rows").wait_for()
    assert visit.page.locator(".curves figcaption").inner_text() == "loss 0.02"


@slow
def test_a_late_answer_is_not_shown_under_another_folder(visit: Visit) -> None:
    visit.page.get_by_role("link", name="Folders").click()
    visit.page.evaluate(HOLD, "shown/content")
    visit.page.get_by_role("button", name="run").click()
    wait_for(lambda: visit.page.evaluate("Boolean(window.release)"))
    visit.page.get_by_role("button", name="clips").click()
    visit.page.get_by_text("a ball").first.wait_for()
    visit.page.evaluate("window.release()")
    visit.page.wait_for_timeout(300)
    assert visit.page.locator(".folders section h2").inner_text().endswith("/clips")


# What can go wrong, and who cannot see


@slow
def test_a_killed_server_comes_back_and_the_job_ends_once(browser: Any, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    first = Program(tmp_path / "jobs", "small", "--port", port)
    visit = Visit(browser, first.url)
    visit.page.get_by_text("More settings").click()
    visit.page.get_by_label("Steps", exact=True).fill("200")
    visit.prompt(PROMPT)
    order = visit.make()
    visit.page.locator(".stage progress").wait_for()
    first.kill()
    visit.page.get_by_text("The server does not answer").first.wait_for()
    with program(tmp_path / "jobs", "small", "--port", port) as second:
        visit.page.locator(".stage video").wait_for()
        assert second.wait(order["id"])["status"] == "completed"
        assert [job["id"] for job in visit.jobs()] == [order["id"]]
        assert visit.page.locator(".gallery li").count() == 1
        visit.close()


@slow
def test_a_token_is_asked_for_once_and_what_it_fetches_is_let_go(browser: Any, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.txt"
    tokens.write_text("token-of-anna-1234\n")
    tokens.chmod(0o600)
    with program(tmp_path / "jobs", "small", "--token-file", str(tokens)) as server:
        page = browser.new_page()
        page.add_init_script(FETCHED)
        page.goto(server.url)
        page.get_by_role("textbox", name="Token").fill("token-of-anna-1234")
        page.get_by_role("button", name="Use it").click()
        page.get_by_role("button", name=PROMPT).wait_for()
        page.get_by_role("status").filter(has_text="is ready").wait_for()
        page.get_by_text("More settings").click()
        page.get_by_label("Steps", exact=True).fill("80")
        page.get_by_role("textbox", name="What should be seen?").fill(PROMPT)
        page.get_by_role("button", name="Make it").click()
        page.locator(".stage video").wait_for(timeout=120_000)
        wait_for(lambda: page.evaluate(SHOWN), 10)
        assert page.evaluate("window.fetched > window.kept.size"), "there was a preview"
        page.close()


@slow
@pytest.mark.parametrize(("width", "scheme"), [(1360, "light"), (1360, "dark"), (390, "light")])
def test_axe_finds_nothing(browser: Any, server: Program, clip: dict[str, Any], width: int, scheme: str) -> None:
    visit = Visit(browser, server.url, width=width, scheme=scheme)
    assert not visit.violations()
    visit.prompt("a kitten strolls to the right while a ball spins")
    visit.page.locator(".chance").wait_for()
    assert not visit.violations()
    start_with(visit, clip)
    visit.click("Retake")
    visit.click("Explain")
    visit.page.locator(".explain").wait_for()
    assert not visit.violations()
    visit.click("Inpaint")
    visit.page.locator("dialog.mask").wait_for()
    assert not visit.violations()
    visit.press("Escape")
    visit.page.get_by_role("link", name="Folders").click()
    visit.page.get_by_role("button", name="run").click()
    visit.page.locator(".curves").wait_for()
    assert not visit.violations()
    assert visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page scrolls sideways"
    visit.close()
