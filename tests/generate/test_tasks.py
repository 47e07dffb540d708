"""The canvas of each task: the order of its slices, the known ones, and their noise levels."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from chronotope.errors import UsageError
from chronotope.generate.tasks import (
    Frame,
    Known,
    connect,
    edit,
    extend,
    extend_backward,
    keyframes,
    lay_out,
    loop,
    retake,
    start_unknown_from,
    text_to_video,
)
from chronotope.geometry import Geometry, Slice
from chronotope.prompt import Prompt, read_story

GEOMETRY = Geometry()
FRAME = Frame(GEOMETRY, 4, 40, 64, 8.0, (Prompt("a fox"),))


def clip(num_frames, value=1.0):
    """An encoded clip whose latents all have the same value."""
    slices = GEOMETRY.slices(num_frames)
    return Known(slices, torch.full((len(slices), 4, 6, 8), value))


def lengths(canvas):
    return [piece.num_frames for piece in canvas.slices]


def known_slices(canvas):
    assert bool(((canvas.level == 0) | (canvas.level == 1)).all())
    return [bool((level == 0).all()) for level in canvas.level]


def seamless(canvas):
    """Every frame belongs to one slice, in order."""
    return (
        all(one.stop == two.start for one, two in zip(canvas.slices, canvas.slices[1:], strict=False))
        and canvas.slices[0].start == 0
    )


def test_a_prompt_alone():
    video = text_to_video(FRAME, 10)
    assert lengths(video) == [1, 1, 4, 4] and known_slices(video) == [False] * 4
    assert video.level.shape == (4, 3, 4) and video.known.shape == (4, 4, 6, 8)
    assert [piece.still for piece in text_to_video(FRAME, 1).slices] == [True]


def test_keyframes_stand_at_their_times():
    animated = keyframes(FRAME, [(0, torch.ones(1, 4, 6, 8))], 10)
    assert lengths(animated) == [1, 4, 4, 4] and known_slices(animated) == [True, False, False, False]
    assert bool((animated.known[0] == 1).all()) and seamless(animated)
    ends = keyframes(FRAME, [(16, torch.full((1, 4, 6, 8), 2.0)), (0, torch.ones(1, 4, 6, 8))], 17)
    assert lengths(ends) == [1, 1, 1, 1, 4, 4, 4, 1] and known_slices(ends) == [True, *[False] * 6, True]
    assert bool((ends.known[-1] == 2).all()) and ends.slices[-1].start == 16 and seamless(ends)
    with pytest.raises(UsageError, match="share frame 3"):
        keyframes(FRAME, [(3, torch.ones(1, 4, 6, 8))] * 2, 9)
    with pytest.raises(UsageError, match=r"at 1.125 s \(frame 9\), but the video has 1.125 s \(9 frames\)"):
        keyframes(FRAME, [(9, torch.ones(1, 4, 6, 8))], 9)
    with pytest.raises(UsageError, match="at least two frames"):
        keyframes(FRAME, [(0, torch.ones(1, 4, 6, 8))], 1)


def test_extending_forward_and_backward():
    on = extend(FRAME, clip(6), 8)
    assert lengths(on) == [1, 1, 4, 4, 4] and known_slices(on) == [True, True, True, False, False]
    back = extend_backward(FRAME, clip(6), 5)
    assert lengths(back) == [4, 4, 1, 1, 4] and known_slices(back) == [False, False, True, True, True]
    assert seamless(on) and seamless(back) and bool((back.known[2:] == 1).all())
    late = replace(clip(4), slices=(Slice(100, 4),))  # cut out of the end of a long clip
    assert lengths(extend(FRAME, late, 4)) == [4, 4] and seamless(extend(FRAME, late, 4))


def test_connecting_two_clips():
    canvas = connect(FRAME, clip(8, 1.0), clip(9, 2.0), 7)
    assert lengths(canvas) == [4, 4, 4, 4, 1, 4, 4] and seamless(canvas)
    assert known_slices(canvas) == [True, True, False, False, True, True, True]
    assert canvas.known[:, 0, 0, 0].tolist() == [1, 1, 0, 0, 2, 2, 2]


def test_a_loop_is_a_cycle_of_whole_slices():
    canvas = loop(FRAME, 15)
    assert lengths(canvas) == [4, 4, 4, 4] and canvas.cycle and known_slices(canvas) == [False] * 4


def test_edits_and_retakes_set_noise_levels():
    soft = edit(FRAME, clip(9), 0.6)
    assert bool((soft.level == torch.tensor(0.6)).all()) and bool((soft.known == 1).all())
    again = torch.zeros(3, 3, 4, dtype=torch.bool)
    again[1, :, 2:] = True
    part = retake(FRAME, clip(9), again)
    assert torch.equal(part.level, again.float()) and bool((part.known == 1).all())
    for strength in (-0.1, 1.1):
        with pytest.raises(UsageError, match="strength lies between"):
            edit(FRAME, clip(9), strength)
    with pytest.raises(UsageError, match="the mask covers"):
        retake(FRAME, clip(9), again[:2])


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 40))
def test_every_frame_is_on_the_canvas_once(before, after, between):
    canvas = connect(FRAME, clip(before), clip(after, 2.0), between)
    assert seamless(canvas)
    total = canvas.slices[-1].stop
    assert 0 <= total - (before + after + between) < 4 and (total - before - after) % 4 == 0
    known_frames = sum(
        piece.num_frames for piece, known in zip(canvas.slices, known_slices(canvas), strict=True) if known
    )
    assert known_frames == before + after


def test_unknown_slices_start_from_latents_in_order():
    canvas = connect(FRAME, clip(4, 1.0), clip(4, 2.0), 8)
    latents = torch.stack([torch.full((4, 6, 8), value) for value in (5.0, 6.0)])
    started = start_unknown_from(canvas, latents, 0.4)
    assert started.known[:, 0, 0, 0].tolist() == [1, 5, 6, 2]
    assert started.level[:, 0, 0].tolist() == [0, *[pytest.approx(0.4)] * 2, 0]
    assert canvas.known[:, 0, 0, 0].tolist() == [1, 0, 0, 2]  # the canvas itself is as it was
    for strength in (0.0, 1.0):
        assert start_unknown_from(canvas, latents, strength).level[1, 0, 0] == strength
    with pytest.raises(UsageError, match="strength lies between"):
        start_unknown_from(canvas, latents, 1.01)


def test_a_retake_starts_from_noise_unless_said_otherwise():
    replaced = torch.zeros(2, 3, 4, dtype=torch.bool)
    replaced[1] = True
    assert retake(FRAME, clip(8), replaced).level.unique().tolist() == [0, 1]
    assert retake(FRAME, clip(8), replaced, 0.5).level.unique().tolist() == [0, 0.5]


def test_the_shortest_videos_of_each_task():
    assert lengths(keyframes(FRAME, [(0, torch.ones(1, 4, 6, 8))], 2)) == [1, 4]
    assert lengths(keyframes(FRAME, [(1, torch.ones(1, 4, 6, 8))], 2)) == [1, 1]
    with pytest.raises(UsageError, match="frame -1"):
        keyframes(FRAME, [(-1, torch.ones(1, 4, 6, 8))], 4)
    assert lengths(extend(FRAME, clip(4), 0)) == [4] and lengths(connect(FRAME, clip(4), clip(1), 0)) == [4, 1]
    assert lengths(text_to_video(FRAME, 7)) == [1, 1, 1, 4] and not text_to_video(FRAME, 7).cycle


def test_what_follows_a_known_clip_is_cut_like_any_video():
    """Ten frames of which four are known: two stills and a moving slice follow, unless whole slices are asked for."""
    assert lengths(lay_out(FRAME, 10, [clip(4)])) == [4, 1, 1, 4]
    assert lengths(lay_out(FRAME, 10, [clip(4)], whole_slices=True)) == [4, 4, 4]
    assert lay_out(FRAME, 10, [clip(4)]).slices[1] == Slice(4, 1)


def test_latents_and_slices_belong_together():
    with pytest.raises(UsageError, match="0 slices need as many latents"):
        Known((), torch.ones(0, 4, 6, 8))
    with pytest.raises(UsageError, match="2 slices need as many latents, got 1"):
        Known(GEOMETRY.slices(8), torch.ones(1, 4, 6, 8))
    assert clip(6).stop == 6 and clip(6).starting_at(3).slices == (Slice(3, 1), Slice(4, 1), Slice(5, 4))


def test_times_of_a_story_are_seconds_or_a_clock():
    beats = ["0: a fox", "2.5s: 30 foxes", "0:04: it sits", "1:30: it walks", "1:00:05.5: it sleeps"]
    assert [seconds for seconds, _ in read_story(beats)] == [0, 2.5, 4, 90, 3605.5]
    assert [text for _, text in read_story(beats)] == ["a fox", "30 foxes", "it sits", "it walks", "it sleeps"]
    assert read_story(["0: 30: a fox"]) == ((0.0, "30: a fox"),)
    assert read_story(["0:10 red balls fall"]) == ((0.0, "10 red balls fall"),)
    for wrong in ("a fox", "0:", "1:30:", f"{10**400}:00:", f"{10**400}: x"):
        with pytest.raises(UsageError, match="a story has beats such as"):
            read_story([wrong])
