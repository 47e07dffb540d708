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
    for num_frames in range(1, 50):
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


def test_the_middle_of_a_slice_in_seconds():
    assert Slice(6, 1).seconds(8.0) == 0.75 and Slice(6, 1).stop == 7
    assert Slice(4, 4).seconds(8.0) == (4 + 5 + 6 + 7) / 4 / 8 and Slice(4, 4).stop == 8
    assert Slice(0, 1).still and not Slice(0, 2).still


def test_slices_from_a_frame_on():
    assert GEOMETRY.slices(6, 10) == (Slice(10, 1), Slice(11, 1), Slice(12, 4))
    assert Geometry(stride=(1, 8, 8)).slices(2, 5) == (Slice(5, 1), Slice(6, 1))
    assert Geometry(stride=(1_000_000, 8, 8)).slices(1_000_000) == (Slice(0, 1_000_000),)


def test_leading_stills_count_in_the_length():
    assert GEOMETRY.lead_and_slices(2, 7) == (Slice(0, 1), Slice(1, 1), Slice(2, 4), Slice(6, 4))
    assert GEOMETRY.lead_and_slices(2, 6) == (Slice(0, 1), Slice(1, 1), Slice(2, 4))
    assert GEOMETRY.lead_and_slices(2, 1) == (Slice(0, 1), Slice(1, 1))
    assert GEOMETRY.lead_and_slices(0, 0) == ()


def test_a_geometry_of_unequal_sides_by_hand():
    """Strides of 8 x 16 pixels and patches of 2 x 3 latents make tokens of 16 x 48 pixels."""
    geometry = Geometry(stride=(4, 8, 16), patch_size=(1, 2, 3))
    assert geometry.cell == (16, 48)
    assert geometry.token_grid(17, 96) == (2, 2) and geometry.token_grid(16, 97) == (1, 3)
    assert geometry.covered_size(17, 50) == (32, 96)
    assert geometry.latent_size(17, 50) == (4, 6)
    assert geometry.num_tokens(5, 17, 97) == 2 * 2 * 3
    positions = geometry.positions((Slice(0, 1), Slice(1, 4)), 25, 100, 2.0)  # sqrt(25 * 100) = 50 pixels are 1
    assert positions.dtype == np.float32 and positions.shape == (2 * 2 * 3, 3)
    seconds, y, x = (0.0, 1.25), ((8 - 12.5) / 50, (24 - 12.5) / 50), ((24 - 50) / 50, (72 - 50) / 50, (120 - 50) / 50)
    np.testing.assert_allclose(positions, [(a, b, c) for a in seconds for b in y for c in x], rtol=1e-6)


def test_sizes_at_the_edge_of_what_is_allowed():
    assert GEOMETRY.token_grid(1, 1) == (1, 1) and GEOMETRY.token_grid(8192, 8192) == (512, 512)
    for size in ((8193, 1), (1, 8193), (0, 1), (1, 0)):
        with pytest.raises(UsageError, match="1 to 8192 pixels"):
            GEOMETRY.token_grid(*size)
    with pytest.raises(UsageError, match="1 to 1000000 frames"):
        GEOMETRY.slices(1_000_001)
    assert Geometry((1, 1, 1), (1, 1, 1)).cell == (1, 1)
    for stride, patch_size in (((4, 0, 8), (1, 2, 2)), ((4, 8, 8), (1, 0, 2)), ((4, 8, 8), (2, 2, 2))):
        with pytest.raises(UsageError, match="must lie between 1 and 1000000"):
            Geometry(stride, patch_size)
    GEOMETRY.positions((Slice(0, 1),), 16, 16, 0.5)
    with pytest.raises(UsageError, match="fps must be above 0"):
        GEOMETRY.positions((Slice(0, 1),), 16, 16, 0.0)


def test_half_of_the_shuffled_cuts_have_one_moving_slice_less():
    cuts = [[piece.num_frames for piece in GEOMETRY.shuffled_slices(9, np.random.default_rng(i))] for i in range(400)]
    assert {tuple(sorted(cut)) for cut in cuts} == {(1, 4, 4), (1, 1, 1, 1, 1, 4)}
    assert 160 < sum(len(cut) == 6 for cut in cuts) < 240
    assert {cut.index(1) for cut in cuts if len(cut) == 3} == {0, 1, 2}
    assert Geometry(stride=(1, 8, 8)).shuffled_slices(3, np.random.default_rng(0)) == Geometry((1, 8, 8)).slices(3)
    assert {len(GEOMETRY.shuffled_slices(4, np.random.default_rng(i))) for i in range(20)} == {1, 4}


def test_moving_slices_of_two_frames_are_shuffled_as_well():
    geometry = Geometry(stride=(2, 8, 8))
    cuts = [geometry.shuffled_slices(5, np.random.default_rng(i)) for i in range(40)]
    assert {tuple(sorted(piece.num_frames for piece in cut)) for cut in cuts} == {(1, 2, 2), (1, 1, 1, 2)}


def test_a_picture_has_no_moving_slice_to_shuffle():
    """Stills are permuted, and nothing else is drawn: the next number of the generator shows it."""
    stride_one, rng, twin = Geometry((1, 8, 8)), np.random.default_rng(3), np.random.default_rng(3)
    assert stride_one.shuffled_slices(3, rng) == stride_one.slices(3)
    twin.permutation([1, 1, 1])
    assert rng.random() == twin.random()
