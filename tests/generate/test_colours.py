"""The colour stabilizer: a uniform shift is removed exactly, moving actors stay, a new scene becomes the reference."""

from __future__ import annotations

from dataclasses import replace

import torch

from chronotope.generate.colours import ColourStabilizer, local_shift
from chronotope.generate.tasks import Frame, Known, extend, text_to_video
from chronotope.geometry import Geometry
from chronotope.prompt import Prompt

GEOMETRY = Geometry()
FRAME = Frame(GEOMETRY, 4, 64, 96, 8.0, (Prompt("a fox"),))
CANVAS = text_to_video(FRAME, 16)  # four moving slices
SCENE = torch.randn(4, 8, 12, generator=torch.Generator().manual_seed(0))
SHIFT = torch.tensor([0.3, -0.2, 0.1, 0.0])[:, None, None]


def window(*slices: torch.Tensor) -> torch.Tensor:
    return torch.stack(list(slices))


def with_actor(scene: torch.Tensor, column: int) -> torch.Tensor:
    found = scene.clone()
    found[:, 3:5, column : column + 2] += 5
    return found


def test_the_first_window_is_unchanged() -> None:
    first = window(*(SCENE + number for number in range(4)))
    stabilize = ColourStabilizer(torch.ones(4))
    assert (
        stabilize(first, CANVAS) is first
        and stabilize.reference is not None
        and torch.equal(stabilize.reference, first[-1])
    )


def test_a_shift_is_removed_and_moving_actors_stay() -> None:
    stabilize = ColourStabilizer(torch.ones(4))
    stabilize(window(*[with_actor(SCENE, 1)] * 4), CANVAS)
    wanted = window(*(with_actor(SCENE, column) for column in (3, 5, 7, 9)))
    assert torch.allclose(stabilize(wanted + SHIFT, CANVAS), wanted, atol=1e-6)


def test_known_slices_are_unchanged_and_become_the_reference() -> None:
    past = Known(GEOMETRY.slices(8), window(SCENE, SCENE))
    canvas = extend(FRAME, past, 8)
    stabilize = ColourStabilizer(torch.ones(4))
    stabilize(window(SCENE, SCENE, SCENE + SHIFT, SCENE + SHIFT), canvas)
    assert stabilize.reference is not None and torch.equal(stabilize.reference, SCENE)
    later = stabilize(window(SCENE + SHIFT, SCENE + SHIFT, SCENE + SHIFT, SCENE + SHIFT), canvas)
    assert torch.equal(later[:2], window(SCENE + SHIFT, SCENE + SHIFT))
    assert torch.allclose(later[2:], window(SCENE, SCENE), atol=1e-6)


def test_partly_known_slices_are_unchanged() -> None:
    stabilize, made = ColourStabilizer(torch.ones(4)), window(*[SCENE + SHIFT] * 4)
    stabilize(window(*[SCENE] * 4), CANVAS)
    level = torch.ones_like(CANVAS.level)
    level[0, 0, 0], level[1] = 0.0, 0.6  # a corner of the first slice is known, the second starts from known latents
    found = stabilize(made, replace(CANVAS, level=level))
    assert torch.equal(found[:2], made[:2]) and torch.allclose(found[2:], window(SCENE, SCENE), atol=1e-6)


def test_a_new_scene_becomes_the_reference() -> None:
    stabilize, other = ColourStabilizer(torch.ones(4)), SCENE.flip(0) + 3
    stabilize(window(*[SCENE] * 4), CANVAS)
    made = window(SCENE, other, other + SHIFT, other + 2 * SHIFT)
    found = stabilize(made, CANVAS)
    assert torch.equal(found[1], other) and torch.allclose(found[2:], window(other, other), atol=1e-6)


def test_stills_are_unchanged_and_few_equal_cells_give_no_shift() -> None:
    stabilize = ColourStabilizer(torch.ones(4))
    stabilize(window(*[SCENE] * 4), CANVAS)
    stills = text_to_video(FRAME, 3)
    made = window(*[SCENE + SHIFT] * 3)
    assert torch.equal(stabilize(made, stills), made)
    near = torch.zeros(8, 12, dtype=torch.bool)
    near[0, :5] = True
    assert not local_shift(SCENE, near).any()


def test_equal_cells_depend_on_the_deviation_of_the_latents() -> None:
    """Twice the difference counts as equal where the latents vary twice as much."""
    for scale in (1.0, 2.0):
        stabilize = ColourStabilizer(torch.full((4,), scale))
        stabilize(window(*[SCENE] * 4), CANVAS)
        far = window(*[SCENE + 1.2] * 4)
        assert torch.allclose(stabilize(far, CANVAS), far if scale == 1.0 else window(*[SCENE] * 4), atol=1e-6)


def test_a_shift_is_the_mean_of_the_equal_cells_among_25() -> None:
    """With 6 cells of 25 the mean of those, with 5 nothing; cells two rows or columns away count, three do not."""
    difference = torch.arange(77.0).reshape(1, 7, 11)
    equal = torch.zeros(7, 11, dtype=torch.bool)
    equal[1, 1:5] = equal[5, 4:6] = True
    found = local_shift(difference, equal)
    assert found[0, 3, 3].item() == difference[0][equal].mean().item()  # all six: rows 1 to 5, columns 1 to 5
    equal[5, 5] = False
    assert not local_shift(difference, equal).any()
    equal[5, 5], equal[1, 1] = True, False
    equal[2, 0] = True  # three columns away
    assert local_shift(difference, equal)[0, 3, 3].item() == 0
    assert local_shift(difference, equal)[0, 3, 2].item() == 0  # here column 5 is too far
    two = torch.cat([difference, 2 * difference])
    assert torch.equal(local_shift(two, torch.ones(7, 11, dtype=torch.bool))[1, 3, 5], two[1, 3, 5])


def test_cells_are_equal_below_eight_tenths_of_a_deviation() -> None:
    """The root mean square over the channels: of (0.8 * 2, 0, 0, 0) it is 0.8."""
    for offset, changed in ((1.59, True), (1.61, False)):
        stabilize = ColourStabilizer(torch.ones(4))
        stabilize(window(*[SCENE] * 4), CANVAS)
        made = window(*[SCENE + torch.tensor([offset, 0, 0, 0])[:, None, None]] * 4)
        assert bool((stabilize(made, CANVAS) != made).any()) == changed


def test_a_scene_is_new_where_less_than_a_quarter_is_equal() -> None:
    """Of 96 cells 24 are a quarter."""
    for rows, kept in ((2, True), (1, False)):
        stabilize, other = ColourStabilizer(torch.ones(4)), SCENE + 9
        stabilize(window(*[SCENE] * 4), CANVAS)
        other[:, :rows] = SCENE[:, :rows]
        stabilize(window(*[other] * 4), CANVAS)
        assert stabilize.reference is not None and torch.equal(stabilize.reference, SCENE if kept else other)


def test_the_reference_is_the_last_known_moving_slice_or_the_last_moving_one() -> None:
    scenes = window(*(SCENE + number for number in range(4)))
    for fixed, wanted in (([0, 1], 1), ([0], 0), ([], 3)):
        level = torch.ones_like(CANVAS.level)
        level[fixed] = 0.0
        level[2, 0, 0] = 0.0  # a slice that is known in part counts as new
        stabilize = ColourStabilizer(torch.ones(4))
        stabilize(scenes, replace(CANVAS, level=level))
        assert stabilize.reference is not None and torch.equal(stabilize.reference, scenes[wanted])
    stabilize = ColourStabilizer(torch.ones(4))
    stabilize(scenes[:3], text_to_video(FRAME, 3))
    assert stabilize.reference is None  # stills give none
