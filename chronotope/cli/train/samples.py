"""The samples that show how a training goes: the same prompts from the same seeds every time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from chronotope.cli.train.start import own_clips
from chronotope.data.latents import LatentClip, LatentDataset
from chronotope.generate.pipeline import Generator
from chronotope.media import video
from chronotope.models.autoencoder import Autoencoder
from chronotope.models.dit import DiT
from chronotope.models.text import TextTokenizer
from chronotope.prompt import MAX_PROMPT_BYTES
from chronotope.train.config import DiTRun
from chronotope.train.dit import Sampler

__all__ = ["progress_sampler", "prompts_to_watch"]


def prompts_to_watch(trained: LatentDataset, heldout: LatentDataset | None) -> list[str]:
    """Return a caption of the first captioned clip, and one that is held out, else that of the clip in the middle.

    Clips that worlds rendered count only where there are no others.
    """
    seen = _captioned(own_clips(trained)) or _captioned(trained.clips)
    unseen = _captioned(heldout.clips) if heldout else []
    if not seen:
        return []
    return [_caption(seen[0]), _caption(unseen[0] if unseen else seen[len(seen) // 2])]


def _captioned(clips: Iterable[LatentClip]) -> list[dict[str, list[str]]]:
    return [clip.captions for clip in clips if any(clip.captions.values())]


def _caption(captions: dict[str, list[str]]) -> str:
    """Return a caption, if possible a sentence."""
    return next(texts[0] for texts in (captions.get("sentence"), *captions.values()) if texts)


def progress_sampler(
    autoencoder: Autoencoder, prompts: Sequence[str], watch: Callable[[], None] = lambda: None
) -> Sampler:
    """Return what `train_dit` calls now and then: it makes the samples, then calls `watch`."""

    def sampler(config: DiTRun, model: DiT, tokenizer: TextTokenizer, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        model_parts = autoencoder, model, tokenizer, config.flow, config.geometry, config.defaults
        generator = Generator(*model_parts, precision=config.train.precision)
        for seed, prompt in enumerate(prompts):
            words = tokenizer.shortened(prompt[:MAX_PROMPT_BYTES], config.model.max_text_tokens)
            if not words:  # one word of more tokens than the model reads
                continue
            made = generator.generate(words, seed=seed)
            suffix = ".mp4" if len(made.frames) > 1 else ".png"
            # without the seconds that it took, so that a resumed training writes the same bytes
            settings = {name: value for name, value in made.origin.items() if name != "seconds"}
            video.write(folder / f"{seed}{suffix}", made.frames, made.fps, metadata=settings)
        watch()

    return sampler
