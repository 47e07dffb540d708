import os
import subprocess
import sys

import pytest
import torch

from chronotope.data.latents import encode_frames
from chronotope.errors import UsageError
from chronotope.geometry import Geometry
from chronotope.models.autoencoder import Autoencoder, AutoencoderConfig

GEOMETRY = Geometry()


@pytest.fixture(scope="module")
def autoencoder():
    torch.manual_seed(0)
    model = Autoencoder(AutoencoderConfig(widths=(16, 24), encoder_blocks=(1, 1), decoder_blocks=(1, 2)))
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
    model.latent_mean.normal_()
    model.latent_deviation.uniform_(0.5, 2)
    return model.eval().requires_grad_(False)


def clip(num_frames, height=32, width=48, seed=0):
    return torch.randint(
        0, 256, (num_frames, height, width, 3), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8
    )


def test_encoding_is_slice_local_to_the_bit(autoencoder):
    first, second = clip(7), clip(8, seed=1)  # 3 stills + 1 moving slice, then 2 moving slices
    whole = torch.cat([first, second])
    slices = GEOMETRY.slices(7) + tuple(type(s)(s.start + 7, s.num_frames) for s in GEOMETRY.slices(8))
    together = autoencoder.encode(whole, slices)
    apart = torch.cat([autoencoder.encode(first, GEOMETRY.slices(7)), autoencoder.encode(second, GEOMETRY.slices(8))])
    assert torch.equal(together, apart)


def test_a_still_is_a_moving_slice_in_which_nothing_moves(autoencoder):
    picture = clip(1)
    still = autoencoder.encode(picture, GEOMETRY.slices(1))
    moving = autoencoder.encode(picture.expand(4, -1, -1, -1), GEOMETRY.slices(4))
    assert torch.equal(still, moving)


@pytest.mark.parametrize("num_frames", [1, 2, 3, 4, 5, 11, 24])
def test_any_length_comes_back_whole(autoencoder, num_frames):
    slices = GEOMETRY.slices(num_frames)
    frames = autoencoder.decode(autoencoder.encode(clip(num_frames), slices), slices)
    assert frames.shape == (num_frames, 32, 48, 3) and frames.dtype == torch.uint8


@pytest.mark.parametrize(("height", "width"), [(16, 16), (8, 40), (176, 24)])
def test_any_size_divisible_by_the_stride(autoencoder, height, width):
    slices = GEOMETRY.slices(5)
    latents = autoencoder.encode(clip(5, height, width), slices)
    assert latents.shape == (2, 16, height // 8, width // 8)
    assert autoencoder.decode(latents, slices).shape == (5, height, width, 3)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (17, 33), (72, 128)])
def test_other_sizes_are_extended_to_whole_tokens(autoencoder, height, width):
    latents = encode_frames(autoencoder, GEOMETRY, clip(4, height, width).numpy())
    assert latents.shape[2:] == GEOMETRY.latent_size(height, width)


def test_streaming_decode_equals_whole_decode_to_the_bit(autoencoder):
    slices = GEOMETRY.slices(27)
    latents = autoencoder.encode(clip(27), slices)
    whole = autoencoder.decode(latents, slices)
    assert torch.equal(torch.cat(list(autoencoder.stream_decode(iter(latents), iter(slices)))), whole)
    # a slice from the middle, given its neighbours, is the same slice
    piece = slices[4]
    alone = autoencoder.decode_slice(latents[3], latents[4], latents[5], piece.still)
    assert torch.equal(alone, whole[piece.start : piece.stop])


def test_decoding_sees_one_neighbour_on_each_side_and_no_further(autoencoder):
    slices = GEOMETRY.slices(20)
    latents = autoencoder.encode(clip(20), slices)
    before = autoencoder.decode(latents, slices)
    changed = latents.clone()
    changed[3] += 1
    after = autoencoder.decode(changed, slices)
    moved = [not torch.equal(before[s.start : s.stop], after[s.start : s.stop]) for s in slices]
    assert moved == [False, False, True, True, True]


def test_latents_leave_normalised(autoencoder):
    raw, _ = autoencoder.encoder(autoencoder.fold(clip(4)[None].float() / 127.5 - 1))
    latents = autoencoder.encode(clip(4), GEOMETRY.slices(4))
    expected = (raw[0] - autoencoder.latent_mean[:, None, None]) / autoencoder.latent_deviation[:, None, None]
    torch.testing.assert_close(latents[0], expected)


def test_fold_and_unfold_are_inverse(autoencoder):
    frames = torch.rand(2, 4, 16, 24, 3)
    assert torch.equal(autoencoder.unfold(autoencoder.fold(frames)), frames)


def test_wrong_slices_are_refused(autoencoder):
    for bad in (clip(3), clip(4, 33, 48), clip(4, 32, 47)):
        with pytest.raises(UsageError, match="a slice has"):
            autoencoder.encode_slice(bad)
    with pytest.raises(UsageError, match="stride"):
        AutoencoderConfig(widths=(16, 24, 32))


SCRIPT = """
import sys, torch
from pathlib import Path
from chronotope.geometry import Geometry
from chronotope.models.autoencoder import Autoencoder, AutoencoderConfig
torch.set_num_threads(1)
model = Autoencoder(AutoencoderConfig(widths=(16, 24))).eval().requires_grad_(False)
for frames in map(int, sys.argv[1:]):
    slices = Geometry().slices(frames)
    latents = (torch.zeros(16, 8, 8) for _ in slices)
    assert frames == sum(len(part) for part in model.stream_decode(latents, slices))
    status = Path("/proc/self/status").read_text().split()
    print(status[status.index("VmHWM:") + 1])  # which counts, unlike ru_maxrss, nothing of the process before this one
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_minute_decodes_in_the_memory_of_four_seconds():
    command = [sys.executable, "-c", SCRIPT, str(4 * 24), str(60 * 24)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    short, long = map(int, done.stdout.split())
    assert long - short < 8_000  # KiB; all frames of a minute are 69,000


def test_what_is_exact_decodes_as_if_nothing_had_been_made_beside_it(autoencoder):
    slices = GEOMETRY.slices(13)  # a still and three moving ones
    latents = torch.randn(4, 16, 4, 6)
    alone = [next(iter(autoencoder.stream_decode(latents[:1], slices[:1])))]
    with_others = list(autoencoder.stream_decode(latents, slices, [0.0, 0.1, 0.1, 0.1]))
    assert torch.equal(with_others[0], alone[0])
    other = torch.cat([latents[:1] + 1, latents[1:]])
    assert not torch.equal(
        with_others[1], list(autoencoder.stream_decode(other, slices, [0.0, 0.1, 0.1, 0.1]))[1]
    )  # but it is looked at
    exact = list(autoencoder.stream_decode(latents, slices))
    assert not torch.equal(exact[0], alone[0])  # and exact neighbours are seen
