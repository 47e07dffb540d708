"""Every task on arrays through an untrained generator: known frames come back to the bit, and only the rest changes."""

import numpy as np
import pytest
import torch

from chronotope.data.captions import captions_of
from chronotope.errors import FileProblem, UsageError
from chronotope.generate import memory, pipeline
from chronotope.generate.decoding import decode
from chronotope.generate.layout import dissolve
from chronotope.generate.pipeline import Generator
from chronotope.prompt import read_prompts, read_story
from chronotope.request import Inputs, Request
from tests.cli.models import save_run

SIZE = {"height": 32, "width": 48, "fps": 8.0, "num_inference_steps": 2}


@pytest.fixture(scope="module")
def generator(tmp_path_factory):
    generator = Generator.load(save_run(tmp_path_factory.mktemp("model")))
    torch.nn.init.normal_(generator.dit.modulation.weight, std=0.3)  # at the start of training, blocks do nothing
    return generator


def clip(num_frames, seed=0, height=32, width=48):
    return np.random.default_rng(seed).integers(0, 256, (num_frames, height, width, 3), np.uint8)


def test_an_extended_clip_is_unchanged(generator):
    source = clip(11)
    made = generator.generate("a red ball", video=source, task="extend", num_frames=8, context=1.0, **SIZE)
    assert len(made.frames) == 19 and np.array_equal(made.frames[:11], source)
    assert made.origin["task"] == "extend"
    other = source.copy()
    other[:3] = 0  # before the context of eight frames
    again = generator.generate("a red ball", video=other, task="extend", num_frames=8, context=1.0, **SIZE)
    assert np.array_equal(again.frames[11:], made.frames[11:])
    other[5] = 0
    changed = generator.generate("a red ball", video=other, task="extend", num_frames=8, context=1.0, **SIZE)
    assert not np.array_equal(changed.frames[11:], made.frames[11:])


def test_backward_extensions_of_one_clip_share_its_frames(generator):
    source = clip(10)
    pasts = [
        generator.generate(
            "a red ball", video=source, task="extend_backward", num_frames=6, context=1.0, seed=s, **SIZE
        )
        for s in (0, 1)
    ]
    first, second = (past.frames for past in pasts)
    assert len(first) == 18 and np.array_equal(first[8:], source) and np.array_equal(second[8:], source)
    assert not np.array_equal(first[:8], second[:8])
    assert "8 frames instead of 6" in "".join(pasts[0].origin["notes"])


def test_two_clips_of_other_sizes_are_connected(generator):
    before, after = clip(9), clip(6, 1, 64, 96)
    made = generator.generate("a red ball", video=before, into=after, task="connect", num_frames=4, context=0.5, **SIZE)
    assert len(made.frames) == 9 + 4 + 6 and np.array_equal(made.frames[:9], before)
    assert any("96x64 scaled to 48x32" in note for note in made.origin["notes"])
    with pytest.raises(UsageError, match="the second of the clips to connect is a picture"):
        generator.generate("a red ball", video=before, into=after[:1], task="connect", **SIZE)


def test_connecting_with_strength_0_is_the_dissolve(generator):
    """The dissolve goes in equal steps from the last frame of one clip to the first of the other."""
    black, white = np.zeros((4, 32, 48, 3), np.uint8), np.full((4, 32, 48, 3), 240, np.uint8)
    steps = dissolve(black[-1], white[0], 11)
    assert [int(frame[0, 0, 0]) for frame in steps] == [20 * k for k in range(1, 12)]
    source = {"video": black, "into": white, "task": "connect", "num_frames": 8}
    nothing, some, much = (generator.generate("x", strength=s, **source, **SIZE).frames for s in (0.0, 0.4, 1.0))
    assert np.array_equal(nothing[4:12], dissolve(black[-1], white[0], 8))
    assert not np.array_equal(some, much) and not np.array_equal(some, nothing)
    assert all(np.array_equal(made[:4], black) and np.array_equal(made[-4:], white) for made in (nothing, some, much))


def test_settings_hold_every_part_of_the_request(generator):
    source = clip(8)
    one, other = (generator.generate("x", video=source, task="edit", strength=s, **SIZE).origin for s in (0.2, 0.9))
    assert {name for name in one if one[name] != other[name]} == {"strength", "seconds"} and one["strength"] == 0.2
    again = generator.generate("x", video=source, task="retake", span=(0.5, 1.0), draft=True, **SIZE).origin
    assert again["span"] == [0.5, 1.0] and again["draft"] and "strength" not in again
    assert generator.generate("x", image=[(0.0, source[0]), (1.0, source[1])], num_frames=9, **SIZE).origin["at"] == [
        0.0,
        1.0,
    ]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"num_frames": 0}, "1 to 1000000 frames, got 0"),
        ({"num_frames": -2, "video": clip(8), "task": "extend"}, "1 to 1000000 frames, got -2"),
        ({"num_inference_steps": 0}, "num_steps must be between 1 and 1000"),
        ({"seed": -1}, "a seed is a whole number from 0"),
        ({"seed": 2**64}, "a seed is a whole number from 0"),
        ({"seed": 1, "generator": torch.Generator()}, "not both"),
        ({"guidance_scale": 1.0, "negative_prompt": "fog"}, "the negative prompt has no effect at guidance 1"),
        ({"strength": 0.5}, "'strength' goes with edit or retake or connect"),
        ({"video": clip(8), "task": "outpaint", "strength": 0.3}, "not with outpaint"),
        ({"image": [(2.0, clip(1)[0])], "task": "loop"}, "from one picture at 0 s"),
        (
            {"prompt": [(0.0, "a"), (1.0, "b")], "task": "loop"},
            "no beginning from which the times of a story could count",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_impossible_requests_are_refused(generator, inputs, message):
    with pytest.raises(UsageError, match=message):
        generator.generate(**{"prompt": "x", "height": 32, "width": 48, "num_inference_steps": 2, **inputs})


def test_a_torch_generator_gives_a_new_seed_each_time(generator):
    source = torch.Generator().manual_seed(3)
    seeds = [generator.generate("x", num_frames=1, generator=source, **SIZE).origin["seed"] for _ in range(2)]
    assert seeds[0] != seeds[1]
    again = generator.generate("x", num_frames=1, generator=torch.Generator().manual_seed(3), **SIZE)
    assert again.origin["seed"] == seeds[0]


def test_a_loop_without_inputs_has_no_first_slice(generator):
    """Rotating the latents of a loop rotates its frames."""
    made = generator.generate("a red ball", task="loop", num_frames=15, **SIZE)
    assert len(made.frames) == 16 and made.origin["task"] == "loop"
    canvas = generator.plan(Request(read_prompts("a red ball"), Inputs("loop"), 32, 48, 16, 8.0)).canvas
    latents = np.random.default_rng(0).normal(size=canvas.known.shape).astype(np.float32)
    frames, turned = (
        torch.cat(list(decode(generator.networks[0], torch.from_numpy(np.roll(latents, turn, axis=0)), canvas, 0.1)))
        for turn in (0, 1)
    )
    assert np.array_equal(np.roll(frames.numpy(), 4, axis=0), turned.numpy())


def test_a_clip_and_a_picture_become_loops(generator):
    source = clip(16)
    made = generator.generate("a red ball", video=source, task="loop", num_frames=8, context=1.0, **SIZE)
    assert len(made.frames) == 16 + 8 and np.array_equal(made.frames[:16], source)
    picture = generator.generate("a red ball", image=source[0], task="loop", num_frames=9, **SIZE)
    assert len(picture.frames) == 9  # the picture itself comes back as the next round's first frame


@pytest.mark.parametrize("task", ["extend", "extend_backward", "connect", "loop"])
def test_the_times_of_a_story_are_those_of_the_video(generator, task):
    """What a dataset reads beside a finished video are the times at which the canvas has the prompts."""
    story = read_prompts([(0.0, "a ball rests"), (0.5, "a ball rolls")])
    into = clip(8, 1) if task == "connect" else None
    inputs = Inputs(task, video=clip(24), into=into, context=1.0)
    plan = generator.plan(Request(story, inputs, 32, 48, 8, 8.0))
    (text,) = captions_of(plan.settings(), "beside")["story"]
    beats = list(read_story(text.splitlines()))
    before = 0 if plan.layout.before is None else len(plan.layout.before)
    _, second = plan.canvas.prompts
    assert beats == [(0.0, "a ball rests"), (second.seconds + before / 8, "a ball rolls")]
    assert beats[1][0] == (0.5 if task == "extend_backward" else 3.5)
    alone = generator.plan(Request(read_prompts("a ball rests"), inputs, 32, 48, 8, 8.0))
    assert captions_of(alone.settings(), "beside") == {"sentence": ("a ball rests",)}


def test_a_picture_between_two_frames_is_said(generator):
    for seconds, said in ((1.0, False), (1.3, True)):
        inputs = Inputs(images=((seconds, clip(1)[0]),))
        notes = generator.plan(Request(read_prompts("x"), inputs, 32, 48, 16, 8.0)).notes
        assert any("stands at frame 10, which is at 1.25 s" in note for note in notes) == said


def test_a_strength_of_0_is_written(generator):
    inputs = Inputs("edit", video=clip(9), strength=0.0)
    assert generator.plan(Request(read_prompts("x"), inputs, 32, 48, None, 8.0)).settings()["strength"] == 0


def test_an_edit_with_strength_0_is_the_clip(generator):
    source = clip(9)
    plan = generator.plan(Request(read_prompts("x"), Inputs("edit", video=source, strength=0.0), 32, 48, None, 8.0))
    nothing = generator.generate("a red ball", video=source, task="edit", strength=0.0, **SIZE)
    assert np.array_equal(nothing.frames, source)  # all of it is known
    assert bool((plan.canvas.level == 0).all())
    said = "nothing is generated and the prompt has no effect: the task 'edit' keeps all that is given"
    assert said in plan.notes and said in nothing.origin["notes"]
    pictures = tuple((second, source[0]) for second in (0.0, 0.125))
    kept = generator.plan(Request(read_prompts("x"), Inputs(images=pictures), 32, 48, 2, 8.0))
    assert any("'keyframes' keeps" in note for note in kept.notes) == (kept.num_frames == 2)
    some, all_new = (
        generator.generate("a red ball", video=source, task="edit", strength=s, **SIZE).frames for s in (0.5, 1.0)
    )
    assert not np.array_equal(some, source) and not np.array_equal(some, all_new)


def test_only_the_span_is_remade(generator):
    source = clip(16)
    made = generator.generate("a red ball", video=source, task="retake", span=(0.5, 1.0), **SIZE)
    changed = [not np.array_equal(a, b) for a, b in zip(made.frames, source, strict=True)]
    assert changed == [False] * 4 + [True] * 4 + [False] * 8
    wider = generator.generate("a red ball", video=source, task="retake", span=(0.6, 1.1), **SIZE)
    assert "remade from 0.5 s to 1.5 s" in "".join(wider.origin["notes"])


def test_only_the_masked_region_is_remade(generator):
    source, mask = clip(8), np.zeros((1, 32, 48), bool)
    mask[0, 20:24, 40:44] = True  # inside the last token of the second row
    made = generator.generate("a red ball", video=source, task="retake", mask=mask, **SIZE)
    kept = np.ones((32, 48), bool)
    kept[16:, 32:] = False
    assert np.array_equal(made.frames[:, kept], source[:, kept]) and not np.array_equal(made.frames, source)
    assert made.origin["task"] == "inpaint"
    with pytest.raises(UsageError, match="make it the clip's size"):
        generator.generate("a red ball", video=source, task="retake", mask=mask[:, :16], **SIZE)
    with pytest.raises(UsageError, match="covers nothing"):
        generator.generate("a red ball", video=source, task="retake", mask=np.zeros_like(mask), **SIZE)
    with pytest.raises(UsageError, match="the mask has 3 frames"):
        generator.generate("a red ball", video=source, task="retake", mask=np.repeat(mask, 3, axis=0), **SIZE)


def test_outpainting_keeps_the_clip(generator):
    source = clip(5, height=32, width=32)
    made = generator.generate("a red ball", video=source, task="outpaint", **{**SIZE, "height": 64, "width": 64})
    assert made.frames.shape == (5, 64, 64, 3) and np.array_equal(made.frames[:, 16:48, 16:48], source)
    with pytest.raises(UsageError, match="larger than"):
        generator.generate("a red ball", video=source, task="outpaint", **{**SIZE, "height": 16})
    with pytest.raises(UsageError, match="already has 48x32, so nothing lies around it"):
        generator.generate("a red ball", video=clip(5), task="outpaint", **SIZE)


def test_a_story_depends_on_the_times_of_its_prompts(generator):
    one = generator.generate([(0.0, "a red ball"), (0.5, "a fox walks")], num_frames=8, **SIZE)
    other = generator.generate([(0.0, "a red ball"), (0.75, "a fox walks")], num_frames=8, **SIZE)
    assert one.origin["prompt"] == [[0.0, "a red ball"], [0.5, "a fox walks"]]
    assert not np.array_equal(one.frames, other.frames)
    with pytest.raises(UsageError, match="rising times"):
        generator.generate([(1.0, "a red ball"), (0.5, "a fox")], num_frames=8, **SIZE)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"video": clip(8)}, "no task that says what to do"),
        ({"task": "edit"}, "the task 'edit' needs a video"),
        ({"task": "edit", "video": clip(8), "image": clip(1)[0]}, "takes a video only"),
        ({"task": "edit", "video": clip(8), "strength": 1.5}, "strength lies between"),
        ({"task": "connect", "video": clip(8)}, "needs two videos"),
        ({"task": "retake", "video": clip(8)}, "needs a span of time or a mask"),
        ({"task": "retake", "video": clip(8), "span": (0.75, 0.5)}, "ends after it begins"),
        ({"task": "retake", "video": clip(8), "span": (2.0, 3.0)}, "nothing of it lies after 2 s"),
        ({"task": "extend", "video": clip(8), "context": 0.0}, "give more --context"),
        (
            {"image": [(0.0, clip(1)[0]), (9.0, clip(1)[0])]},
            r"at 9 s \(frame 72\), but the video has 1.125 s \(9 frames\)",
        ),
    ],
)
def test_inputs_that_exclude_each_other_are_refused(generator, inputs, message):
    with pytest.raises(UsageError, match=message):
        frames = {} if inputs.get("task") in ("edit", "retake") else {"num_frames": 9}
        generator.generate("a red ball", **frames, **inputs, **SIZE)


def test_a_short_clip_gives_less_context(generator):
    made = generator.generate("a red ball", video=clip(3), task="extend", num_frames=4, **SIZE)
    assert len(made.frames) == 7 and "3 frames of context instead of 4" in made.origin["notes"][0]


@pytest.mark.parametrize(
    ("scale", "prompt", "negative", "later"),
    [
        (3.0, "x", "", [1.0] * 3),  # a window with the same prompt is not guided
        (3.0, [(0.0, "x"), (1.0, "y")], "", [2.0, 1.0, 1.0]),  # a window with a new prompt is guided by at most 2
        (1.5, [(0.0, "x"), (1.0, "y")], "", [1.5, 1.0, 1.0]),
        (3.0, [(0.0, "x"), (1.0, "y"), (2.0, "x")], "", [2.0, 1.0, 2.0]),  # a return to an earlier prompt counts as new
        (3.0, "x", "blur", [2.0] * 3),  # a negative prompt counts as new everywhere
        (0.5, "x", "", [0.5] * 3),
    ],
)
def test_later_windows_are_guided_less(generator, monkeypatch, scale, prompt, negative, later):
    scales = []

    def sample_nothing(*arguments):
        part, sampling = arguments[4:6]
        scales.append(sampling.guidance.scale)
        return torch.zeros_like(part.known)

    monkeypatch.setattr("chronotope.generate.pipeline.sample", sample_nothing)
    made = generator.generate(prompt, negative_prompt=negative, num_frames=20, guidance_scale=scale, **SIZE)
    assert scales == [scale, *later] and made.origin["later_guidance_scales"] == sorted(set(later))


def test_guidance_of_0_is_said_to_leave_out_the_prompt(generator):
    one, other = (generator.generate(prompt, guidance_scale=0.0, **SIZE) for prompt in ("a red ball", "a fox walks"))
    assert np.array_equal(one.frames, other.frames)
    assert "guidance 0 leaves out the prompt; 1 follows it without guidance" in one.origin["notes"]


def test_the_model_supplies_the_defaults_of_a_request(generator):
    defaults = generator.defaults
    plan = generator.plan(Request(read_prompts("x")))
    canvas, sampling = plan.canvas, plan.sampling
    assert (canvas.height, canvas.width, canvas.fps) == (defaults.height, defaults.width, defaults.fps)
    assert (plan.num_frames, plan.num_new) == (defaults.num_frames, defaults.num_frames)
    assert (sampling.num_steps, sampling.guidance.scale) == (defaults.num_steps, defaults.guidance_scale)
    assert (sampling.solver, sampling.negative_prompt, sampling.enlargement) == ("euler", "", 1)
    assert len(plan.notes) == 1 and "no record of its training" in plan.notes[0]
    other = generator.plan(Request(read_prompts("x"), Inputs(), 64, 80, 5, 4.0, 3, 1.5, "heun", "y"))
    canvas, sampling = other.canvas, other.sampling
    assert (canvas.height, canvas.width, canvas.fps, other.num_frames) == (64, 80, 4.0, 5)
    assert (sampling.num_steps, sampling.guidance.scale, sampling.solver) == (3, 1.5, "heun")
    assert (sampling.negative_prompt, sampling.enlargement) == ("y", 2)


@pytest.mark.parametrize("task", ["extend", "extend_backward", "connect", "loop", "edit", "retake", "image"])
def test_inputs_are_encoded_onto_their_slices(generator, task):
    """Every known slice holds exactly the latents of its own frames; a plan without encoding holds none."""
    first, second = clip(9), clip(8, 1)
    inputs = {
        "connect": Inputs("connect", video=first, into=second, strength=1.0),
        "retake": Inputs("retake", video=first, span=(0.5, 0.8)),
        "image": Inputs(images=((0.0, first[0]), (0.5, second[0]))),
    }.get(task) or Inputs(task, video=first)
    request = Request(read_prompts("x"), inputs, 32, 48, None if inputs.keeps_length else 8)
    plan, bare = generator.plan(request), generator.plan(request, encode=False)
    assert not bare.canvas.known.any() and bare.notes == plan.notes and bare.canvas.slices == plan.canvas.slices
    found = 0
    for start, frames in plan.layout.sources:
        for piece, known in zip(plan.canvas.slices, plan.canvas.known, strict=True):
            if start <= piece.start < start + len(frames):
                own = torch.from_numpy(frames[piece.start - start : piece.stop - start])
                assert torch.equal(known, generator.autoencoder.encode_slice(own))
                found += 1
    assert found >= int(plan.canvas.fixed.flatten(1).all(dim=1).sum()) and found


def test_a_request_is_refused_before_anything_is_encoded(generator, monkeypatch):
    monkeypatch.setattr(pipeline, "encode_frames", lambda *_: pytest.fail("it was encoded"))
    monkeypatch.setattr(memory, "available_bytes", lambda: 1000)
    with pytest.raises(UsageError, match="GB are needed to generate 48x32"):
        generator.generate("x", video=clip(8), task="edit", **SIZE)
    with pytest.raises(UsageError, match="rising times"):
        generator.generate([(1.0, "x"), (0.0, "y")], video=clip(8), task="edit", **SIZE)


def test_models_are_found_by_name_or_folder(generator, tmp_path, monkeypatch):
    assert Generator.load(generator.folder).names == generator.names
    assert pipeline.find_model("small") == pipeline.WEIGHTS / "small"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small" / "clips").mkdir(parents=True)  # of clips: it hides no model
    assert pipeline.find_model("small") == pipeline.WEIGHTS / "small"
    (tmp_path / "small" / "dit").mkdir()
    assert pipeline.find_model("small").resolve() == tmp_path / "small"
    (tmp_path / "model.pt").write_bytes(b"")
    for name, error, message in (
        ("smal", FileProblem, "Did you mean 'small'"),
        ("runs/none", FileProblem, "bash runs/tiny.sh"),
        (tmp_path / "model.pt", UsageError, "a pickle, which is never loaded"),
    ):
        with pytest.raises(error, match=message):
            Generator.load(name)
