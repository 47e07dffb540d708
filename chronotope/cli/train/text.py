"""The frozen text encoder of a training: the sizes that follow from it, and the states of all captions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from chronotope import checkpoint
from chronotope.caption.encoder.tokenizer import OWN_ENCODER, facts_for_run
from chronotope.cli.terminal import progress, say
from chronotope.config import names_of
from chronotope.data.latents import LatentDataset
from chronotope.errors import UsageError
from chronotope.generate.pipeline import find_model
from chronotope.parallel import join_ranks
from chronotope.train.config import DiTRun
from chronotope.train.dit import encode_captions
from chronotope.train.fit import check_text_encoder

__all__ = ["read_captions", "with_text_encoder"]

LONG_TEXT = 256  # tokens that a model with a frozen text encoder reads, unless a setting says otherwise


def with_text_encoder(config: DiTRun, settings: Sequence[str], out: Path | None, start: str | None) -> DiTRun:
    """Return a run whose model has the sizes of its frozen text encoder, if it names one.

    Where the encoder is not at hand, these are read from the states of captions in the run folder `out`. Raises
    UsageError for another encoder than that of the run in `out`, or of the model `start`.
    """
    if not config.text_encoder:
        if config.model.text_width:
            raise UsageError(
                f"model.text_width={config.model.text_width} is that of a text encoder; name it with --text-encoder"
            )
        return config
    facts, model = facts_for_run(config.text_encoder, out, find_model(start) if start else None), config.model
    if "model.text_width" in (names := names_of(settings)):
        raise UsageError(f"model.text_width is that of {facts.name}, {facts.width}; leave it out")
    fixed = "model.max_text_tokens" in names or model.text_width  # of a model that is trained further
    most = model.max_text_tokens if fixed else LONG_TEXT
    if facts.max_tokens and most > facts.max_tokens:
        if fixed:
            say(f"note: {facts.name} reads at most {facts.max_tokens} tokens, not model.max_text_tokens={most}")
        most = facts.max_tokens
    say(f"text encoder {facts}: it encodes every caption once, before the first step; texts of up to {most} tokens")
    model = replace(model, text_width=facts.width, max_text_tokens=most)
    sources = [checkpoint.latest_checkpoint(out / "dit") if out else None, find_model(start) / "dit" if start else None]
    for source in filter(None, sources):
        check_text_encoder(model, facts, source)
    return replace(config, model=model)


def read_captions(
    config: DiTRun,
    dataset: LatentDataset,
    heldout: Sequence[Path],
    run: Path,
    watched: Sequence[str],
    start: Path | None = None,
) -> None:
    """Compute the states of all captions where a run has a frozen text encoder, and say what they take.

    `start` is the folder of the transformer that is trained on.
    """
    if not config.text_encoder:
        return
    facts, ranks = facts_for_run(config.text_encoder, run.parent, start.parent if start else None), join_ranks()
    with progress("encoding captions", "clips") as report:
        tokenizer = encode_captions(facts, config, dataset, heldout, run, ranks, watched, start, report)
    if ranks.first and tokenizer is not None and tokenizer.store is not None:
        folder = tokenizer.store.folder
        size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
        say(f"{folder}: states of {len(tokenizer.store)} captions, {size / 1e6:,.1f} MB")
        if not (run.parent / OWN_ENCODER).is_dir():
            say(
                f"note: generating needs the text encoder {facts}, which is not copied; to take it along, copy its "
                f"folder to {run.parent / OWN_ENCODER}"
            )
