"""Implement `chronotope export`: write a dataset, or a description of it, in a format of other programs."""

from __future__ import annotations

from pathlib import Path

from chronotope import PROGRAM
from chronotope.actions import left_behind
from chronotope.cli.terminal import beside, progress, refuse_strangers, say
from chronotope.data.clips import check_outside
from chronotope.data.exports.about import Statement, read_statement
from chronotope.data.exports.card import CARD, write_card
from chronotope.data.exports.croissant import CROISSANT, missing_properties, write_croissant
from chronotope.data.exports.dataset import Dataset, read_dataset
from chronotope.data.exports.facts import facts_of, limitations_of
from chronotope.data.exports.shards import export_shards
from chronotope.data.exports.table import parquet_name, write_parquet
from chronotope.data.exports.verify import names_us
from chronotope.data.lerobot.write import export_lerobot
from chronotope.errors import UsageError, suggest
from chronotope.evaluate.exports.layouts import FORMATS as OF_BENCHMARKS
from chronotope.storage import locked_output

__all__ = ["FORMATS", "export_dataset"]

MEGABYTE = 10**6
ENDINGS = {"card": ".md", "parquet": ".parquet"}
FORMATS = ("webdataset", "croissant", "parquet", "card", "lerobot")


def export_dataset(data: Path, name: str, out: Path | None, about: Path | None, shard_megabytes: float) -> Path:
    """Write the export of a dataset and return its path.

    Raises UsageError for options that do not belong together, and what the reader and the writers raise.
    """
    _check(data, name, out, about)
    statement = read_statement(about) if about else Statement()
    with progress("reading", "clips") as report:
        dataset = read_dataset(data, report, lambda sentence: say(f"note: {sentence}"))
    if name == "webdataset":
        for sentence in left_behind((item.path for item in dataset.items), "--format lerobot writes them as well"):
            say(f"note: {sentence}")
        out = out or beside(data, "shards")
        with progress("exporting", "clips") as report:
            exported = export_shards(dataset, out, round(shard_megabytes * MEGABYTE), report)
        say(f"{out}: {exported.in_words()}")
        return out
    if name == "lerobot":
        out = out or beside(data, "lerobot")
        with progress("exporting", "clips") as report:
            written = export_lerobot(dataset, out, report)
        say(f"{out}: {written.episodes} episodes of {written.frames} frames")
        if written.pictures:
            say(f"note: {written.pictures} pictures are left out, since an episode is a video")
        return out
    target = out or data / {"croissant": CROISSANT, "parquet": parquet_name(dataset), "card": CARD}[name]
    refuse_strangers(target, names_us, "give another --out, or move it away")
    with locked_output(target):
        _write(dataset, name, target, statement)
    return target


def _check(data: Path, name: str, out: Path | None, about: Path | None) -> None:
    if name in OF_BENCHMARKS:
        raise UsageError(f"{name} is the layout of a benchmark's videos; make it with `chronotope export-suite`")
    if name not in FORMATS:
        raise UsageError(f"unknown format '{name}'. {suggest(name, FORMATS)}")
    if about and name not in ("croissant", "card"):
        raise UsageError("--about is read for croissant and card, which describe the dataset in words; leave it out")
    if name in ("webdataset", "lerobot"):
        check_outside(out or beside(data, "shards"), data)
    elif name == "croissant" and out is not None:
        raise UsageError(f"{CROISSANT} lies in the folder that it describes; leave out --out")
    elif out is not None and (out.is_dir() or not out.parent.is_dir() or out.suffix != ENDINGS[name]):
        raise UsageError(f"{out} must be a file, NAME{ENDINGS[name]}, in a folder that exists; give another --out")


def _write(dataset: Dataset, name: str, target: Path, statement: Statement) -> None:
    if name == "parquet":
        say(f"{target}: {write_parquet(dataset, target):,} rows")
        return
    for sentence in limitations_of(dataset, facts_of(dataset)):
        say(f"stated: {sentence}")
    if name == "card":
        write_card(dataset, statement, target, PROGRAM)
    elif missing := missing_properties(write_croissant(dataset, statement)):
        say(f"note: Croissant expects more, which --about can say: {', '.join(missing)}")
