"""Training on a few tiny clips: the loss falls, and a resumed run equals an uninterrupted one to the bit."""

import json
import math
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from chronotope.caption.subwords import Tokenizer, learn_vocabulary
from chronotope.checkpoint import load_tensors
from chronotope.config import override
from chronotope.data.clips import find_clips
from chronotope.data.encode import encode_dataset
from chronotope.data.latents import LatentDataset
from chronotope.data.pixels import load_pool
from chronotope.errors import FileProblem, UsageError
from chronotope.generate.pipeline import Generator, load_autoencoder
from chronotope.geometry import Geometry
from chronotope.models.autoencoder import Autoencoder
from chronotope.prompt import Prompt
from chronotope.train.autoencoder import (
    calibrate,
    initialise_linear_paths,
    pixel_sensitivity,
    reconstruct_windows,
    sample_decoder_noise,
    train_autoencoder,
    validation,
)
from chronotope.train.batches import caption_notes, length_notes
from chronotope.train.config import CaptionConfig
from chronotope.train.dit import train_dit
from chronotope.train.log import TrainingLog
from chronotope.train.noise_levels import NoiseLevelConfig, noise_levels, sample_noise_levels
from chronotope.train.optimizers import orthogonalise
from chronotope.train.samples import choose_caption, clip_window, make_samples
from tests.train.small import AUTOENCODER, DIT, weights


def test_a_run_makes_videos(run):
    generator = Generator.load(run)
    made = generator.generate("block 1 moves", height=32, width=48, num_frames=9, num_inference_steps=2, seed=1)
    assert made.frames.shape == (9, 32, 48, 3) and made.origin["prompt"] == "block 1 moves"
    odd = generator.generate("block", height=30, width=41, num_frames=1, num_inference_steps=1)
    assert odd.frames.shape == (1, 30, 41, 3) and "cut to 41x30" in odd.origin["notes"][0]
    picture = made.frames[0]
    animated = generator.generate("block", image=picture, height=32, width=48, num_frames=8, num_inference_steps=2)
    assert animated.frames.shape[0] == 9  # the picture, then eight frames


def test_the_autoencoder_resumes_to_the_bit(run, clips, tmp_path):
    class Stop(Exception):
        pass

    def interrupt(*args, **kwargs):
        raise Stop

    target = tmp_path / "autoencoder"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "chronotope.train.autoencoder.freezing.freeze_encoder", interrupt
        )  # after the checkpoint of step 3
        with pytest.raises(Stop):
            train_autoencoder(AUTOENCODER, [clips], target, quiet=True)
    train_autoencoder(AUTOENCODER, [clips], target, quiet=True)
    assert weights(target) == weights(run / "autoencoder")


def test_a_few_clips_are_not_called_held_out(clips):
    said = []
    found = [clip for clip in find_clips(clips) if not validation.held_out(clip)]
    pool, held, _ = validation.load_pools([found], AUTOENCODER.pool, 0, said.append)
    assert any(f"none of {len(found)} clips" in one and "is trained on" in one for one in said) and pool and held


def test_the_transformer_resumes_to_the_bit(run, tmp_path):
    target = tmp_path / "dit"
    calls = []

    def stop_at_the_second_check(config, model, tokenizer, folder):
        del config, model
        calls.append(folder)
        if len(calls) == 2:
            raise KeyboardInterrupt

    config = override(DIT, ["train.check_every=2"])
    with pytest.raises(KeyboardInterrupt):
        train_dit(config, [run / "latents"], target, stop_at_the_second_check, quiet=True)
    assert sorted(path.name for path in (target / "checkpoints").glob("0*")) == ["0000003"]
    train_dit(config, [run / "latents"], target, quiet=True)
    assert weights(target) == weights(run / "dit")
    steps = [json.loads(line)["step"] for line in (target / "log.jsonl").read_text().splitlines()]
    assert steps == sorted(set(steps))


def test_a_run_that_goes_on_with_other_threads_says_so(run, tmp_path, capsys):
    """Another number of threads rounds otherwise, so the weights are not those of an uninterrupted run to the bit."""
    target, threads = tmp_path / "dit", torch.get_num_threads()
    train_dit(override(DIT, ["train.steps=2"]), [run / "latents"], target)
    train_dit(override(DIT, ["train.steps=3"]), [run / "latents"], target)
    assert "within rounding" not in capsys.readouterr().err
    torch.set_num_threads(threads + 1)
    try:
        train_dit(override(DIT, ["train.steps=4"]), [run / "latents"], target)
    finally:
        torch.set_num_threads(threads)
    said = " ".join(capsys.readouterr().err.split())
    assert f"{threads + 1} threads: it goes on within rounding, not to the bit" in said


def test_another_seed_is_another_model(run, tmp_path):
    train_dit(override(DIT, ["seed=1"]), [run / "latents"], tmp_path / "dit", quiet=True)
    assert weights(tmp_path / "dit") != weights(run / "dit")


def test_the_loss_falls(run, tmp_path):
    config = override(DIT, ["train.steps=60", "train.log_every=10", "train.save_every=60", "captions.dropout=0.0"])
    train_dit(config, [run / "latents"], tmp_path / "dit", quiet=True)
    losses = [json.loads(line)["loss"] for line in (tmp_path / "dit" / "log.jsonl").read_text().splitlines()]
    assert losses[-1] < 0.85 * losses[0]


def test_frozen_encoders_keep_latents_valid(run, clips, tmp_path, monkeypatch):
    """Latents encoded when the encoder is frozen equal those of the finished model to the bit."""
    target, kept = tmp_path / "run" / "autoencoder", tmp_path / "kept" / "autoencoder"
    say = TrainingLog.say

    def copy_when_frozen(log, text):
        say(log, text)
        if "frozen" in text:
            shutil.copytree(target, kept)

    monkeypatch.setattr(TrainingLog, "say", copy_when_frozen)
    train_autoencoder(AUTOENCODER, [clips], target, quiet=True)
    assert weights(kept) != weights(target)  # the decoder was trained further
    early = encode_dataset(clips, tmp_path / "early", load_autoencoder(kept), Geometry())
    late = encode_dataset(clips, tmp_path / "late", load_autoencoder(run), Geometry())
    assert early.clips == late.clips == 6
    one, other = LatentDataset([tmp_path / "early"]), LatentDataset([tmp_path / "late"])
    assert one.about == other.about
    assert all(torch.equal(one.latents(i), other.latents(i)) for i in range(6))


def test_latents_of_another_autoencoder_are_refused(run, clips, tmp_path):
    train_autoencoder(override(AUTOENCODER, ["seed=5", "train.steps=1"]), [clips], tmp_path / "autoencoder", quiet=True)
    with pytest.raises(UsageError, match="another autoencoder"):
        encode_dataset(clips, run / "latents", load_autoencoder(tmp_path), Geometry())
    (tmp_path / "dit").symlink_to(run / "dit")
    with pytest.raises(FileProblem, match="was trained on latents of autoencoder"):
        Generator.load(tmp_path)


def kind_of(levels):
    """Infer the kind of a sample from its noise levels."""
    by_slice, known = levels.level.flatten(1), levels.known.flatten(1)
    if not known.any():
        return "uniform" if len(by_slice.unique()) == 1 else "forcing"
    return "context" if bool((known.all(dim=1) | ~known.any(dim=1)).all()) else "region"


def test_noise_levels_of_every_kind():
    generator = torch.Generator().manual_seed(0)
    config = NoiseLevelConfig(forcing=0.2, context=0.3, region=0.2, history_share=0.4, history=0.1)
    found = noise_levels(config, [sample_noise_levels(config, 6, (3, 5), generator) for _ in range(3000)])
    both = zip(found.level.view(3000, 6, 3, 5), found.known.view(3000, 6, 3, 5), strict=True)
    drawn = [SimpleNamespace(level=level, known=known) for level, known in both]
    kinds = [kind_of(levels) for levels in drawn]
    for kind, least, most in (
        ("forcing", 0.17, 0.23),
        ("uniform", 0.27, 0.36),
        ("context", 0.27, 0.38),
        ("region", 0.14, 0.23),
    ):
        assert least < kinds.count(kind) / 3000 < most, kind
    histories = []
    for levels in drawn:
        assert levels.level.shape == (6, 3, 5) and bool((levels.level >= 0).all() and (levels.level < 1).all())
        assert not bool(levels.known.all()) and bool((levels.level[~levels.known] > 0).all())
        if levels.known.any():
            (history,) = levels.level[levels.known].unique().tolist()  # all known tokens have one level
            histories.append(history)
    assert max(histories) < 0.1 and abs(np.mean([history > 0 for history in histories]) - 0.4) < 0.05
    known_slices = torch.stack(
        [levels.known.flatten(1).all(dim=1) for levels, kind in zip(drawn, kinds, strict=True) if kind == "context"]
    )
    # the layouts of the tasks occur
    for name, wanted in (("first", [0]), ("ends", [0, 5]), ("last", [5])):
        others = [i for i in range(6) if i not in wanted]
        assert bool((known_slices[:, wanted].all(dim=1) & ~known_slices[:, others].any(dim=1)).any()), name
    single = sample_noise_levels(NoiseLevelConfig(forcing=0.0, context=1.0, region=0.0), 1, (2, 2), generator)
    assert not single.known.any()  # one slice cannot be its own context


def test_clips_cut_at_random_places_keep_all_frames(clips, run, tmp_path):
    """The same share of the clips is cut at random places in every run, and latents have these slices."""
    autoencoder, geometry = load_autoencoder(run), Geometry()
    encode_dataset(clips, tmp_path / "all", autoencoder, geometry, shuffled=1.0)
    encode_dataset(clips, tmp_path / "again", autoencoder, geometry, shuffled=1.0)
    plain, shuffled, again = (
        LatentDataset([folder]) for folder in (run / "latents", tmp_path / "all", tmp_path / "again")
    )
    assert [clip.slices for clip in shuffled.clips] == [clip.slices for clip in again.clips]
    assert any(clip.slices != other.slices for clip, other in zip(plain.clips, shuffled.clips, strict=True))
    for i, (clip, other) in enumerate(zip(plain.clips, shuffled.clips, strict=True)):
        assert sum(clip.slices) == sum(other.slices) and len(shuffled.latents(i)) == len(other.slices)
    with pytest.raises(UsageError, match="cut otherwise"):
        encode_dataset(clips, tmp_path / "all", autoencoder, geometry, shuffled=0.5)
    with pytest.raises(UsageError, match="between 0 and 1"):
        encode_dataset(clips, tmp_path / "none", autoencoder, geometry, shuffled=1.5)


def test_a_story_becomes_prompts_at_their_times(run):
    """In a window that begins later, the last prompt before its start applies from its start."""
    dataset, tokenizer = (
        LatentDataset([run / "latents"]),
        Tokenizer(learn_vocabulary(["a fox walks right", "it stops"], 40)),
    )
    index = max(range(len(dataset)), key=lambda i: sum(dataset.clips[i].slices))
    clip = dataset.clips[index]
    middle = sum(clip.slices) / 2 / clip.fps
    dataset.clips = list(dataset.clips)
    dataset.clips[index] = replace(clip, captions={"story": [f"0: a fox walks right\n{middle:g}: it stops"]})
    prompts = choose_caption(dataset.clips[index].captions, CaptionConfig(dropout=0.0), np.random.default_rng(0))
    assert prompts == (Prompt("a fox walks right"), Prompt("it stops", middle))
    config = override(DIT, ["captions.dropout=0"])
    (whole,) = make_samples(config, dataset, tokenizer, [(0, index)], 0).samples
    assert [seconds for seconds, _ in whole.texts] == [0.0, middle]
    tokens = math.prod(config.geometry.token_grid(clip.height, clip.width))
    short = override(config, [f"train.max_sample_tokens={tokens}"])
    found = set()
    for step in range(40):
        rng = np.random.default_rng((short.seed, step, 0, 4))
        rng.integers(2**62)
        _, start = clip_window(clip, 1, rng)
        (seconds, ids), *rest = make_samples(short, dataset, tokenizer, [(0, index)], step).samples[0].texts
        late = start / clip.fps >= middle
        assert (seconds, rest) == (0.0, [])
        assert ids == tokenizer.encode("it stops" if late else "a fox walks right")
        found.add(late)
    assert found == {True, False}


def test_latents_of_an_older_version_are_refused(run, tmp_path):
    shutil.copytree(run / "latents", tmp_path / "old")
    index = tmp_path / "old" / "index.jsonl"
    rows = [json.loads(line) for line in index.read_text().splitlines()]
    for row in rows:
        del row["source"], row["seal"], row["sha256"]
    index.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(
        FileProblem,
        match=r"line 1, has no seal, which was deleted .* older version .*; run the `chronotope encode`",
    ):
        LatentDataset([tmp_path / "old"])


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 8, 40), (1, 40, 8)])
def test_muon_updates_are_nearly_orthogonal(shape):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalise(matrices))
    assert float(values.min()) > 0.4 and float(values.max()) < 1.35


def test_pixel_sensitivity_of_a_linear_decoder():
    """At initialisation the decoder is linear, so the sensitivity of a channel is the size of its column."""
    torch.manual_seed(0)
    model = Autoencoder(AUTOENCODER.model)
    latents = torch.randn(64, 4, 16, 16)
    found = pixel_sensitivity(model, latents, torch.Generator().manual_seed(1))
    columns = model.decoder.linear.weight.detach().flatten(1)
    torch.testing.assert_close(found, columns.square().mean(dim=1).sqrt(), rtol=0.03, atol=0.0)


@pytest.mark.parametrize("emphasis", [0.5, *(pytest.param(share, marks=pytest.mark.slow) for share in (0.0, 1.0))])
def test_calibrated_latents_have_mean_square_one_and_the_chosen_emphasis(clips, emphasis):
    torch.manual_seed(0)
    model = Autoencoder(AUTOENCODER.model)
    pool = load_pool([find_clips(clips)], AUTOENCODER.pool, 0)
    initialise_linear_paths(model, pool, 0)
    calibrate(model, pool, 0, emphasis)
    with torch.no_grad():  # the windows of the calibration
        raw = [reconstruct_windows(model, pool.batch(1, step).float() / 127.5 - 1, None)[1] for step in range(24)]
    rows = torch.cat([model.normalise(mean).transpose(0, 1).flatten(1) for mean in raw], dim=1)
    deviation = rows.std(dim=1)
    assert float(deviation.square().mean()) == pytest.approx(1, rel=1e-3) and float(rows.mean(dim=1).abs().max()) < 1e-3
    columns = model.decoder.linear.weight.detach().flatten(1).square().mean(dim=1).sqrt()  # see the test above
    weight = (model.latent_deviation * deviation * columns) ** emphasis
    torch.testing.assert_close(deviation, weight / weight.square().mean().sqrt(), rtol=0.1, atol=0.01)


def test_the_decoder_depends_on_the_noise_of_latents(run):
    autoencoder = load_autoencoder(run)
    latents = torch.randn(3, 4, 4, 4)
    slices = Geometry().slices(12)
    assert not torch.equal(autoencoder.decode(latents, slices), autoencoder.decode(latents, slices, [0.0, 0.25, 0.0]))
    windows = torch.zeros(4000, 8, 1, 1, 3)
    assert sample_decoder_noise(AUTOENCODER.train, windows, 4, 3, 0) is None  # while the encoder learns
    drawn = sample_decoder_noise(AUTOENCODER.train, windows, 4, 4, 0)
    assert drawn.shape == (4000, 2) and 0.28 < float(drawn.max()) < 0.3
    assert float((drawn == 0).all(dim=1).float().mean()) == pytest.approx(0.5 + 0.5 / 16, abs=0.03)
    both = (drawn > 0).all(dim=1)
    assert bool((drawn[both][:, 0] == drawn[both][:, 1]).all())  # one deviation per window
    sizes = drawn[both][:, 0].histc(10, 0.0, 0.3) / both.sum()
    assert float((sizes - 0.1).abs().max()) < 0.04  # uniform


def test_a_run_can_start_from_a_trained_one(run, tmp_path):
    """With a rate that half precision does not hold the weights stay those of the start; another size is refused."""
    still = override(DIT, ["train.steps=1", "train.muon_rate=0.0", "train.adam_rate=1e-30"])
    train_dit(still, [run / "latents"], tmp_path / "same", start=run / "dit", quiet=True)
    before, after = (load_tensors(folder / "model.safetensors") for folder in (run / "dit", tmp_path / "same"))
    assert all(torch.equal(before[name], after[name]) for name in before)  # bytes may differ: averaging makes 0 of -0
    with pytest.raises(UsageError, match="width 32"):
        train_dit(
            override(DIT, ["model.width=48"]), [run / "latents"], tmp_path / "other", start=run / "dit", quiet=True
        )


def test_a_rate_of_0_freezes_its_weights(run, tmp_path):
    frozen = override(DIT, ["train.steps=2", "train.muon_rate=0"])
    train_dit(frozen, [run / "latents"], tmp_path / "frozen", start=run / "dit", quiet=True)
    before, after = (load_tensors(folder / "model.safetensors") for folder in (run / "dit", tmp_path / "frozen"))
    same = {name: torch.equal(before[name], after[name]) for name in before}
    assert all(same[name] == (".blocks." in f".{name}" and before[name].ndim == 2) for name in same), same


def test_captions_that_are_cut_and_levels_without_a_share_are_said(run):
    dataset = LatentDataset([run / "latents"])
    tokenizer = Tokenizer(learn_vocabulary(dataset.captions(), 78))
    assert caption_notes(dataset, tokenizer, DIT) == []
    long = replace(dataset.clips[0], captions={"sentence": ["a red ball rolls " * 100], "french": ["une balle"]})
    dataset.clips = [long, *dataset.clips[1:]]
    cut, level = caption_notes(dataset, tokenizer, DIT)
    assert cut.startswith(f"note: 1 caption has more than the {DIT.model.max_text_tokens} tokens")
    assert " of 400 words" in cut
    assert "level french are used with a share of 1" in level
    off = replace(DIT, captions=CaptionConfig(tags=0, sentence=0))
    dataset.clips = [replace(long, captions={"sentence": ["a ball"]}), replace(long, captions={"story": ["a ball"]})]
    (alone,) = caption_notes(dataset, tokenizer, off)
    assert alone.startswith("note: 1 clip has captions of levels with a share of 0 alone (sentence, tags)")


def test_clips_of_which_a_step_shows_a_part_are_said(run):
    dataset = LatentDataset([run / "latents"])
    rows, columns = DIT.geometry.token_grid(dataset.clips[0].height, dataset.clips[0].width)
    long = replace(dataset.clips[0], slices=(4,) * 9, captions={"sentence": ["a ball"]})
    dataset.clips = [long, replace(long, captions={}), replace(long, slices=(4, 4))]
    two = override(DIT, [f"train.max_sample_tokens={2 * rows * columns}"])
    (note,) = length_notes(dataset, two)
    assert note.startswith("note: 1 of 3 clips are longer") and "of the longest 2 of 9 slices" in note
    assert length_notes(dataset, override(DIT, [f"train.max_sample_tokens={9 * rows * columns}"])) == []


def test_windows_that_come_back_to_the_bit_have_a_finite_psnr(clips, run, monkeypatch):
    monkeypatch.setattr(validation, "reconstruct_windows", lambda model, windows, generator: (windows, None, None))
    pool = load_pool([find_clips(clips)], AUTOENCODER.pool, seed=0)
    found, _ = validation.validate(load_autoencoder(run), pool, seed=0, batches=2)
    assert found["psnr"] == pytest.approx(10 * math.log10(255**2 * 12))
