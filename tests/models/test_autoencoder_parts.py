"""The parts of the autoencoder with numbers worked out by hand."""

import pytest
import torch
from torch import nn

from chronotope.errors import UsageError
from chronotope.geometry import Slice
from chronotope.models.autoencoder import Autoencoder, AutoencoderConfig, Block, PixelNorm

CONFIG = AutoencoderConfig(channels=6, widths=(8, 12), encoder_blocks=(1, 2), decoder_blocks=(2, 1))


@pytest.fixture
def fresh():
    return Autoencoder(CONFIG).eval().requires_grad_(False)


def test_sizes_by_hand():
    assert CONFIG.folded_channels == 4 * 4 * 4 * 3 and CONFIG.step == 8 // 4
    AutoencoderConfig(stride=(4, 16, 16), widths=(8, 8, 8), encoder_blocks=(1, 1, 1), decoder_blocks=(1, 1, 1))
    AutoencoderConfig(stride=(4, 4, 4), widths=(8,), encoder_blocks=(1,), decoder_blocks=(1,))
    for wrong in (dict(stride=(4, 8, 16)), dict(stride=(4, 16, 8)), dict(stride=(4, 16, 16)), dict(fold=2)):
        with pytest.raises(UsageError, match="1 halvings"):
            AutoencoderConfig(**wrong)
    for wrong in (dict(encoder_blocks=(1,)), dict(decoder_blocks=(1,)), dict(encoder_blocks=(1,), decoder_blocks=(1,))):
        with pytest.raises(UsageError, match="one entry per resolution"):
            AutoencoderConfig(**wrong)


def test_the_norm_of_a_position_is_over_its_channels():
    norm = PixelNorm(2)
    x = torch.tensor([[[[3.0, 0.002]], [[4.0, 0.0]]]])  # two channels at two positions: (3, 4) and (0.002, 0)
    # sqrt of (9 + 16) / 2 + 1e-5, and of 0.000002 + 0.00001
    wanted = torch.tensor([[[[3 / 12.50001**0.5, 0.002 / 1.2e-5**0.5]], [[4 / 12.50001**0.5, 0.0]]]])
    torch.testing.assert_close(norm(x), wanted)
    norm.scale.data = torch.tensor([2.0, -1.0])
    torch.testing.assert_close(norm(x), wanted * torch.tensor([2.0, -1.0])[:, None, None])


def test_a_block_is_a_residual_that_begins_as_nothing():
    block = Block(8)
    x = torch.randn(1, 8, 5, 6)
    assert torch.equal(block(x), x)
    nn.init.normal_(block.conv_out.weight)
    nn.init.normal_(block.conv_out.bias)
    hidden = nn.functional.conv2d(block.norm(x), block.conv_in.weight, block.conv_in.bias, padding=1)
    hidden = hidden * torch.sigmoid(hidden)
    wanted = x + nn.functional.conv2d(hidden, block.conv_out.weight, block.conv_out.bias, padding=1)
    torch.testing.assert_close(block(x), wanted)


def test_layers_in_order(fresh):
    """A convolution in, blocks and a halving at each width, a convolution out; the decoder in reverse."""

    def told(layer):
        match layer:
            case Block():
                return layer.conv_in.in_channels
            case nn.PixelShuffle():
                return layer.upscale_factor, layer.upscale_factor
        return layer.in_channels, layer.out_channels, *layer.kernel_size, *layer.stride, *layer.padding

    encoder, decoder = fresh.encoder.layers, fresh.decoder.layers
    halving, one_by_one = (2, 2, 2, 2, 0, 0), (1, 1, 1, 1, 0, 0)
    three_by_three = (3, 3, 1, 1, 1, 1)
    assert [told(layer) for layer in encoder] == [
        *((192, 8, *three_by_three), 8, (8, 12, *halving), 12, 12, (12, 2 * 6, *one_by_one)),
    ]
    assert [told(layer) for layer in decoder] == [
        *((3 * 7, 12, *three_by_three), 12, (12, 4 * 8, *one_by_one), (2, 2), 8, 8, (8, 192, *three_by_three)),
    ]
    assert told(fresh.encoder.linear) == (192, 6, *halving) and told(fresh.decoder.linear) == (6, 192, *halving)
    assert (len(Autoencoder().encoder.layers), len(Autoencoder().decoder.layers)) == (7, 10)
    blocks = dict(encoder_blocks=(1, 1, 1), decoder_blocks=(1, 1, 1))
    deeper = Autoencoder(AutoencoderConfig(stride=(4, 16, 16), channels=3, widths=(4, 5, 6), **blocks))
    assert [told(layer) for layer in deeper.encoder.layers] == [
        *((192, 4, *three_by_three), 4, (4, 5, *halving), 5, (5, 6, *halving), 6, (6, 2 * 3, *one_by_one)),
    ]
    assert [told(layer) for layer in deeper.decoder.layers] == [
        *((3 * 4, 6, *three_by_three), 6, (6, 4 * 5, *one_by_one), (2, 2), 5),
        *((5, 4 * 4, *one_by_one), (2, 2), 4, (4, 192, *three_by_three)),
    ]
    assert told(deeper.encoder.linear) == (192, 3, 4, 4, 4, 4, 0, 0)  # one latent covers 4 x 4 folded blocks


def test_at_first_only_the_linear_path_speaks(fresh):
    """latents = analysis (block - centre) and block = synthesis^T latents + centre, with variance e^-6."""
    analysis, synthesis, centre = torch.randn(6, 768), torch.randn(6, 768), torch.randn(768)
    fresh.set_linear(analysis, synthesis, centre)
    folded = torch.randn(1, 192, 4, 6)
    blocks = folded.view(192, 2, 2, 3, 2).permute(1, 3, 0, 2, 4).reshape(6, 768)  # 2 x 3 blocks of 2 x 2 positions
    assert torch.equal(fresh.corners(folded), blocks)
    mean, log_variance = fresh.encoder(folded)
    latents = (blocks - centre) @ analysis.T
    torch.testing.assert_close(mean[0].flatten(1).T, latents, atol=1e-4, rtol=1e-4)
    assert torch.equal(log_variance, torch.full((1, 6, 2, 3), -6.0))
    window = fresh.window(torch.randn(1, 6, 2, 3), mean, torch.randn(1, 6, 2, 3))
    restored = fresh.corners(fresh.decoder(window)) - latents @ synthesis
    # the bias of a transposed convolution is one number a channel: the centre's mean over the 2 x 2 positions
    wanted = centre.view(192, 4).mean(dim=1).repeat_interleave(4).expand(6, -1)
    torch.testing.assert_close(restored, wanted, atol=1e-3, rtol=1e-4)


def test_the_networks_add_to_the_linear_paths(fresh):
    for parameter in fresh.parameters():
        nn.init.normal_(parameter, std=0.3)
    folded = torch.randn(1, 192, 4, 6)
    mean, log_variance = fresh.encoder(folded)
    first, second = fresh.encoder.layers(folded).chunk(2, dim=1)
    torch.testing.assert_close(mean, first + fresh.encoder.linear(folded))
    torch.testing.assert_close(log_variance, second.clamp(-20, 4))
    fresh.encoder.layers[-1].bias[6:] = torch.tensor([1e3, -1e3, 1e3, -1e3, 1e3, -1e3])
    assert fresh.encoder(folded)[1][0, :, 0, 0].tolist() == [4, -20, 4, -20, 4, -20]
    window = torch.randn(1, 21, 2, 3)
    wanted = fresh.decoder.layers(window) + fresh.decoder.linear(
        window[:, 7:13]
    )  # 6 + 1 of the slice before come first
    torch.testing.assert_close(fresh.decoder(window), wanted)


def test_a_fold_puts_time_row_and_column_of_a_block_into_channels(fresh):
    frames = torch.rand(2, 4, 8, 12, 3)
    folded = fresh.fold(frames)
    assert folded.shape == (2, 192, 2, 3)
    for time, row, column, colour in ((0, 0, 0, 1), (3, 2, 1, 0), (1, 0, 3, 2)):
        channel = ((time * 4 + row) * 4 + column) * 3 + colour
        assert folded[1, channel, 1, 2] == frames[1, time, 4 + row, 8 + column, colour]
    still = fresh.fold(frames[:, :1])
    assert torch.equal(still, fresh.fold(frames[:, :1].repeat(1, 4, 1, 1, 1)))


def test_latents_are_centred_and_scaled(fresh):
    assert not fresh.latent_mean.any() and bool((fresh.latent_deviation == 1).all())
    fresh.latent_mean[1], fresh.latent_deviation[1] = 3.0, 2.0
    latents = torch.full((6, 1, 1), 7.0)
    assert fresh.normalise(latents).flatten().tolist() == [7, 2, 7, 7, 7, 7]
    assert fresh.denormalise(latents).flatten().tolist() == [7, 17, 7, 7, 7, 7]


def test_a_window_says_how_far_each_grid_can_be_trusted(fresh):
    before, current, after = (torch.full((1, 6, 1, 1), value) for value in (1.0, 2.0, 3.0))
    exact = fresh.window(before, current, after).flatten().tolist()
    assert exact == [*[1.0] * 6, 1, *[2.0] * 6, 1, *[3.0] * 6, 1]
    alone = fresh.window(None, current, None, (0.25, 0.25, 0.25)).flatten().tolist()
    assert alone == [*[0.0] * 7, *[2.0] * 6, 0.75, *[0.0] * 7]
    noisy = fresh.window(before, current, after, (0.1, 0.2, 0.3)).flatten().tolist()
    assert noisy[6::7] == pytest.approx([0.9, 0.8, 0.7])


def show(fresh, monkeypatch):
    """Let latents be the mean colour of each block in [-1, 1], decode them as such, and collect the windows."""
    analysis = torch.zeros(6, 768)
    for channel in range(768):
        analysis[channel // 4 % 3, channel] = 1 / 256
    fresh.set_linear(analysis, analysis * 256, torch.zeros(768))
    windows = []
    decoder = fresh.decoder.forward
    monkeypatch.setattr(fresh.decoder, "forward", lambda window: windows.append(window) or decoder(window))
    return windows


def test_pixels_are_from_minus_one_to_one_inside_and_bytes_outside(fresh, monkeypatch):
    show(fresh, monkeypatch)
    frames = torch.tensor([0, 255, 51], dtype=torch.uint8).expand(4, 8, 8, 3)
    latents = fresh.encode_slice(frames)
    torch.testing.assert_close(latents.flatten()[:3], torch.tensor([-1.0, 1.0, -0.6]))
    decoded = fresh.decode_slice(None, latents, None, False)
    assert decoded.dtype == torch.uint8 and torch.equal(decoded, frames)
    beyond = fresh.decode_slice(None, latents * 3, None, True)  # -3, 3 and -1.8 are clipped, one frame is a still
    assert beyond.shape == (1, 8, 8, 3) and beyond[0, 0, 0].tolist() == [0, 255, 0]
    half = fresh.decode_slice(None, torch.full_like(latents, 0.5), None, False)
    assert bool((half == 191).all())  # 1.5 * 127.5 = 191.25


def test_a_still_is_the_mean_of_its_frames(fresh):
    folded = torch.zeros(192)
    folded[48:96] = 0.8  # the second of four frames: bytes 229.5 - 127.5 = 102 above the others
    fresh.decoder.linear.bias.copy_(folded)
    moving, still = (fresh.decode_slice(None, torch.zeros(6, 1, 1), None, flag) for flag in (False, True))
    assert moving[:, 0, 0, 0].tolist() == [128, 230, 128, 128] and still[:, 0, 0, 0].tolist() == [153]


@pytest.mark.parametrize("shape", [(2, 8, 8), (4, 12, 8), (4, 8, 12), (0, 8, 8)])
def test_slices_of_other_shapes_are_refused(fresh, shape):
    with pytest.raises(UsageError, match="a slice has 1 or 4 frames of sides divisible by 8 and 8"):
        fresh.encode_slice(torch.zeros(*shape, 3, dtype=torch.uint8))


def test_noise_beyond_what_training_has_shown_counts_as_that_much(fresh, monkeypatch):
    windows = show(fresh, monkeypatch)
    grid = torch.zeros(6, 1, 1)
    fresh.decode_slice(grid, grid, grid, False, (0.1, 0.2, 0.3))
    fresh.decoder.trained_noise.fill_(0.25)
    fresh.decode_slice(grid, grid, grid, False, (0.1, 0.2, 0.3))
    assert [window.flatten().tolist()[6::7] for window in windows] == [
        [1.0, 1.0, 1.0],
        pytest.approx([0.9, 0.8, 0.75]),
    ]


def test_every_slice_is_decoded_between_its_neighbours(fresh, monkeypatch):
    """With noise 0 and 0.5: a slice that is exact does not look at one that is not."""
    calls = []

    def decode_slice(previous, current, following, still, noise):
        first, second, third = (None if grid is None else int(grid) for grid in (previous, current, following))
        calls.append((first, second, third, still, noise))
        return current

    monkeypatch.setattr(fresh, "decode_slice", decode_slice)
    grids, slices = [torch.tensor(i) for i in range(4)], [Slice(0, 1), Slice(1, 4), Slice(5, 4), Slice(9, 4)]
    list(fresh.stream_decode(grids, slices))
    assert calls == [
        (None, 0, 1, True, (0.0, 0.0, 0.0)),
        (0, 1, 2, False, (0.0, 0.0, 0.0)),
        (1, 2, 3, False, (0.0, 0.0, 0.0)),
        (2, 3, None, False, (0.0, 0.0, 0.0)),
    ]
    calls.clear()
    list(fresh.stream_decode(grids, slices, [0.0, 0.5, 0.25, 0.0]))
    assert calls == [
        (None, 0, None, True, (0.0, 0.0, 0.0)),
        (0, 1, 2, False, (0.0, 0.5, 0.25)),
        (1, 2, 3, False, (0.5, 0.25, 0.0)),
        (None, 3, None, False, (0.0, 0.0, 0.0)),
    ]
    calls.clear()
    list(fresh.stream_decode(grids[:1], slices[:1], [0.5]))
    assert calls == [(None, 0, None, True, (0.0, 0.5, 0.0))]  # where there is no slice there is no noise
    assert list(fresh.stream_decode([], [])) == []


def test_decoding_at_once_is_decoding_slice_by_slice_with_the_same_noise(fresh):
    for parameter in fresh.parameters():
        nn.init.normal_(parameter, std=0.2)
    fresh.decoder.trained_noise.fill_(1.0)
    latents, slices = torch.randn(3, 6, 2, 2), (Slice(0, 1), Slice(1, 4), Slice(5, 4))
    exact, noisy = fresh.decode(latents, slices), fresh.decode(latents, slices, [0.0, 0.9, 0.9])
    assert torch.equal(exact, torch.cat(list(fresh.stream_decode(latents, slices))))
    assert torch.equal(noisy, torch.cat(list(fresh.stream_decode(latents, slices, [0.0, 0.9, 0.9]))))
    assert exact.shape == (9, 16, 16, 3) and not torch.equal(exact, noisy)
