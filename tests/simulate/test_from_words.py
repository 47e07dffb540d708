"""A model of the slice-causal order generates from words what a session without known actions shows."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from chronotope.prompt import read_prompts
from chronotope.request import Inputs, Request
from chronotope.simulate.model import FIRST_STEPS, StepSettings, WorldModel

from .conftest import WALK, make_generator

SETTINGS = StepSettings(num_steps=FIRST_STEPS, guidance_scale=1.0)


class Unsteered(WorldModel):
    """A session whose actions are all unknown, as they are when words alone decide."""

    def _values(self, actions):
        return torch.zeros(1, self.generator.dit.config.action_width)


@pytest.fixture(scope="module")
def generator():
    made = make_generator(WALK)
    made.defaults = replace(made.defaults, num_frames=4, order="causal", guidance_scale=1.0, num_steps=FIRST_STEPS)
    return made


def frames_of(generator, num_frames, **more):
    return generator.generate("a fox", num_frames=num_frames, seed=5, **more).frames


def test_a_video_from_words_is_a_session_of_unknown_actions(generator):
    model = Unsteered(generator, SETTINGS)
    state, first = model.begin(5, "a fox")
    shown = [first]
    for _ in range(3):
        state, frames = model.step(state, np.zeros((1, 1)))
        shown.append(frames[0])
    made = frames_of(generator, 4)
    assert np.abs(made.astype(int) - np.stack(shown)).max() <= 1  # the past is computed again, not kept
    assert np.abs(np.diff(made.astype(int), axis=0)).max() > 1  # the frames differ, so their order counts


def test_a_longer_video_begins_as_a_shorter_one(generator):
    longer, shorter = frames_of(generator, 5, num_inference_steps=2), frames_of(generator, 3, num_inference_steps=2)
    assert np.array_equal(longer[:3], shorter)


def test_a_picture_is_continued_slice_by_slice_and_a_loop_is_sampled_whole(generator):
    picture = frames_of(generator, 1)[0]
    words = read_prompts("a fox")
    plan = generator.plan(Request(words, Inputs(images=((0.0, picture),)), num_frames=3))
    assert [(span.begin, span.end) for span in plan.windows] == [(1, 2), (2, 3)]
    assert plan.canvas.order == "causal" and set(plan.scales) == {1.0}
    loop = generator.plan(Request(words, Inputs("loop"), num_frames=3))
    assert len(loop.windows) == 1 and loop.canvas.order == "full"
