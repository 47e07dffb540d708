import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronotope.errors import UsageError
from chronotope.geometry import Geometry, Slice, num_frames_of

GEOMETRY = Geometry()
SIDES = st.integers(1, 2048)


@pytest.mark.parametrize("stride", [1, 2, 3, 4, 8])
def test_slices_cover_every_length_exactly_once(stride):
    geometry = Geometry(stride=(stride, 8, 8))
    for num_frames in range(1, 301):
        slices = geometry.slices(num_frames)
        covered = [frame for piece in slices for frame in range(piece.start, piece.stop)]
        assert covered == list(range(num_frames))
        assert num_frames_of(slices) == num_frames
        kinds = [piece.num_frames for piece in slices]
        assert kinds == [1] * (num_frames % stride if stride > 1 else num_frames) + [stride] * (
            num_frames // stride if stride > 1 else 0
        )


def test_a_picture_is_one_still_slice():
    (piece,) = GEOMETRY.slices(1)
    assert piece.still and piece.seconds(8.0) == 0.0


@given(lead=st.integers(1, 3), num_frames=st.integers(1, 300))
def test_lead_and_slices_rounds_up_to_whole_moving_slices(lead, num_frames):
    slices = GEOMETRY.lead_and_slices(lead, num_frames)
    assert [piece.still for piece in slices] == [True] * lead + [False] * (len(slices) - lead)
    assert max(lead, num_frames) <= num_frames_of(slices) < max(lead, num_frames) + 4
    assert [piece.start for piece in slices[1:]] == [piece.stop for piece in slices[:-1]]


@given(height=SIDES, width=SIDES, num_frames=st.integers(1, 300))
def test_tokens_cover_the_frame_and_no_more_than_needed(height, width, num_frames):
    rows, columns = GEOMETRY.token_grid(height, width)
    full_height, full_width = GEOMETRY.covered_size(height, width)
    assert (full_height, full_width) == (rows * 16, columns * 16)
    assert full_height - 16 < height <= full_height and full_width - 16 < width <= full_width
    assert GEOMETRY.latent_size(height, width) == (full_height // 8, full_width // 8)
    assert GEOMETRY.num_tokens(num_frames, height, width) == len(GEOMETRY.slices(num_frames)) * rows * columns


@given(height=SIDES, width=SIDES, num_frames=st.integers(1, 40), fps=st.floats(1, 60))
def test_positions_are_the_centres_of_tokens(height, width, num_frames, fps):
    slices = GEOMETRY.slices(num_frames)
    if GEOMETRY.num_tokens(num_frames, height, width) > 20_000:
        return
    rows, columns = GEOMETRY.token_grid(height, width)
    grid = GEOMETRY.positions(slices, height, width, fps).reshape(len(slices), rows, columns, 3)
    unit = np.sqrt(height * width)
    np.testing.assert_allclose(
        grid[:, 0, 0, 0], [np.mean(range(piece.start, piece.stop)) / fps for piece in slices], rtol=1e-5
    )
    np.testing.assert_allclose(grid[0, :, 0, 1] * unit + height / 2, np.arange(rows) * 16 + 8, atol=1e-2)
    np.testing.assert_allclose(grid[0, 0, :, 2] * unit + width / 2, np.arange(columns) * 16 + 8, atol=1e-2)


def test_the_same_composition_has_the_same_positions_at_every_size():
    small, large = (GEOMETRY.positions(GEOMETRY.slices(1), 64 * k, 96 * k, 8.0) for k in (1, 4))
    assert np.allclose(
        small.min(0) * np.array([1, 1, 1]), large.reshape(1, 16, 24, 3)[:, :4, :4].mean((0, 1, 2)), atol=1e-5
    )


@pytest.mark.parametrize(
    "call",
    [
        lambda: GEOMETRY.slices(0),
        lambda: GEOMETRY.slices(10**9),
        lambda: GEOMETRY.token_grid(0, 64),
        lambda: GEOMETRY.token_grid(64, 100_000),
        lambda: GEOMETRY.positions(GEOMETRY.slices(1), 64, 64, 0.0),
        lambda: Geometry(stride=(0, 8, 8)),
        lambda: Geometry(patch_size=(2, 2, 2)),
    ],
)
def test_impossible_shapes_are_refused_in_words(call):
    with pytest.raises(UsageError, match=r"got|must"):
        call()


@given(num_frames=st.integers(1, 300), seed=st.integers(0, 2**32))
def test_a_shuffled_cut_covers_the_same_frames(num_frames, seed):
    slices = GEOMETRY.shuffled_slices(num_frames, np.random.default_rng(seed))
    assert [piece.start for piece in slices] == list(np.cumsum([0, *(piece.num_frames for piece in slices[:-1])]))
    assert slices[-1].stop == num_frames and {piece.num_frames for piece in slices} <= {1, 4}
    assert sum(piece.still for piece in slices) in (num_frames % 4, num_frames % 4 + 4)


def test_only_stills_and_whole_slices_can_be_cut():
    assert GEOMETRY.cut([1, 4, 1]) == (Slice(0, 1), Slice(1, 4), Slice(5, 1))
    for lengths in ([], [3], [4, 0]):
        with pytest.raises(UsageError, match="slices have 1 or 4 frames"):
            GEOMETRY.cut(lengths)
