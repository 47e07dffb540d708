"""The commands that make a dataset, and a model, of somebody's own videos."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from chronotope import PROGRAM
from chronotope.cli.left_out import refuse_beside
from chronotope.cli.terminal import FILE, Command, Number, echo, option, progress, say, show
from chronotope.errors import LEFT_OUT, UsageError

__all__ = ["audit", "curate", "export", "import_", "inspect", "teach"]

LAYOUTS = (
    "kohya",
    "finetrainers",
    "videofolder",
    "lines",
    "webdataset",
    "table",
    "pairs",
)  # as `data.layouts` has them

KEEP = option(
    "--keep",
    multiple=True,
    metavar="REASON",
    help="Keep shots that are short, small, text, still, dark, bright, flat, blurred, repeated or duplicate; may be "
    "given several times.",
)
TEXT = option("--text", is_flag=True, help="Look for on-screen text, and leave out shots that show it.")


@click.command(
    "import",
    cls=Command,
    examples="""
    chronotope import ~/downloads/dances --out data/dances
    chronotope import ~/musubi --follow-paths --copy --out data/mine
    chronotope import ~/openvid --layout table --out data/openvid
    chronotope import ~/pusht --layout lerobot --out data/pusht
    """,
)
@click.argument("folder", type=FILE)
@option("--out", type=FILE, required=True, metavar="DIR", help="The folder to fill; the same command again updates it.")
@option(
    "--layout",
    type=click.Choice([*LAYOUTS, "lerobot"]),
    metavar="NAME",
    help=f"Read FOLDER in this layout: {', '.join(LAYOUTS)} or lerobot.  [default: the first that fits]",
)
@option("--copy", is_flag=True, help="Copy the clips, instead of linking them where the file system allows that.")
@option("--follow-paths", "follow", is_flag=True, help="Also read files outside of FOLDER that it names or links to.")
def import_(folder: Path, out: Path, layout: str | None, copy: bool, follow: bool) -> int:
    """Import captioned videos from the layouts of other trainers.

    FOLDER is a videofolder of Hugging Face, clips with texts beside them, lists of lines, a table, tar shards of
    WebDataset, settings of kohya, musubi or finetrainers, or robot data of LeRobot v3, whose actions come with it. DIR
    receives the clips, NAME.json with the captions beside
    each, and imported.jsonl. Clips of another split than train are in DIR/heldout, which no training takes. What was
    left out is listed, and the exit status then is 3.
    """
    from chronotope.data.layouts.write import import_dataset
    from chronotope.data.lerobot.layout import is_lerobot

    if layout == "lerobot" or (layout is None and is_lerobot(folder)):
        why = "clips of a LeRobot dataset are written anew or copied, from its own folder alone"
        refuse_beside(why, "folder", "out", "layout")
        return _import_lerobot(folder, out)
    with progress("importing", "clips") as report:
        imported = import_dataset(folder, out, layout, copy, follow, report)
    say(f"{folder} is read as {imported.layout}")
    for sentence in imported.notes:
        say(f"note: {sentence}")
    for item in imported.left_out:
        say(f"left out: {item.key}: {item.reason}")
    say(f"{out}: {imported.in_words()}")
    echo(out)
    return LEFT_OUT if imported.left_out else 0


def _import_lerobot(folder: Path, out: Path) -> int:
    from chronotope.data.lerobot.read import import_lerobot

    with progress("importing", "clips") as report:
        imported = import_lerobot(folder, out, report)
    say(f"{folder} is read as lerobot")
    for sentence in imported.notes:
        say(f"note: {sentence}")
    for item in imported.left_out:
        say(f"left out: {item.key}: {item.reason}")
    counts = {"new": imported.new, "changed": imported.changed, "gone": imported.gone}
    told = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    heldout = f", {imported.heldout} of them held out" if imported.heldout else ""
    say(f"{out}: {imported.clips} clips{heldout}: {told or 'nothing has changed'}")
    echo(out)
    return LEFT_OUT if imported.left_out else 0


@click.command(
    cls=Command,
    examples="""
    chronotope curate ~/videos --out data/mine --holder "My Lab"
    chronotope curate ~/films ~/phone --out data/mine --rights rights.toml
    chronotope curate ~/videos --out data/mine --holder "My Lab" --keep still --keep dark --max-seconds 10
    chronotope curate ~/films --out data/films --holder "My Lab" --text
    """,
)
@click.argument("folders", type=FILE, nargs=-1, required=True)
@option("--out", type=FILE, required=True, metavar="DIR", help="The folder to fill; the same command again resumes.")
@option(
    "--holder",
    default="",
    metavar="NAME",
    help="All files without another licence are this holder's own footage.",
)
@option("--rights", type=FILE, metavar="FILE", help="A rights.toml with licences by file name, and those allowed.")
@option("--allow-unknown", is_flag=True, help="Use files whose licence is unknown, too; this is recorded.")
@option("--min-seconds", type=Number(0, 3600), metavar="S", help="Leave out shorter shots.  [default: 0.5]")
@option("--max-seconds", type=Number(0.1, 36000), metavar="S", help="Cut longer shots into equal parts.  [default: 60]")
@option("--heldout", type=Number(0, 0.9), metavar="SHARE", help="Set aside this share of the files.  [default: 0.1]")
@TEXT
@KEEP
@option("--copy", is_flag=True, help="Copy whole files instead of linking to the same content on disk.")
def curate(
    folders: tuple[Path, ...],
    out: Path,
    holder: str,
    rights: Path | None,
    allow_unknown: bool,
    min_seconds: float | None,
    max_seconds: float | None,
    heldout: float | None,
    text: bool,
    keep: tuple[str, ...],
    copy: bool,
) -> int:
    """Cut raw videos into shots, leave out what teaches nothing, and list everything with its rights.

    FOLDERS hold videos and pictures of any kind. Nothing is cropped, scaled or changed in speed; a file without a cut
    is used as it is. What is left out stays listed in curation.jsonl, with the reason; the sources stay as they are.
    Sound is not used. --text needs a detector: pip install 'chronotope[ocr]'. The exit status is 3 where files cannot
    be read or may not be used.
    """
    from chronotope.cli.datasets.sources import raw_files
    from chronotope.curate.decide import Filters
    from chronotope.curate.rights import own_footage, read_policy
    from chronotope.curate.run import curate as bring_up_to_date
    from chronotope.data.captions import read_captions

    options = {"min_seconds": min_seconds, "max_seconds": max_seconds, "heldout": heldout}
    chosen: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    filters = replace(Filters(text=text, keep=keep), **chosen)
    if filters.min_seconds > filters.max_seconds:
        raise UsageError(
            f"--min-seconds {filters.min_seconds:g} is above --max-seconds {filters.max_seconds:g}: no shot would fit"
        )
    policy = own_footage(holder, allow_unknown) if rights is None else read_policy(rights, holder, allow_unknown)
    files = raw_files(folders, out)
    with progress("curating", "files") as report:
        found = bring_up_to_date(files, out, filters, policy, read_captions, PROGRAM, copy, report, _note)
    for name, why in found.unusable[:MOST_NAMED]:
        say(f"left out: {name}: {why}")
    if len(found.unusable) > MOST_NAMED:
        say(f"and {len(found.unusable) - MOST_NAMED} more files, listed in {out / 'curation.jsonl'}")
    say(f"{out}: {found.in_words()}")
    echo(out)
    return LEFT_OUT if found.unusable else 0


MOST_NAMED = 20  # files that cannot be used


def _note(sentence: str) -> None:
    say(f"note: {sentence}")


@click.command(
    cls=Command,
    examples="""
    chronotope inspect data/mine
    chronotope inspect data/mine --out /tmp/mine.html
    """,
)
@click.argument("data", type=FILE)
@option("--out", type=FILE, metavar="FILE", help="The page to write.  [default: inspection.html in DATA]")
def inspect(data: Path, out: Path | None) -> None:
    """Write a page about a curated dataset: what is used, what is not and why, rights, sizes, words, costs.

    DATA is a folder that `chronotope curate` made. The page is one file, with pictures inside.
    """
    from chronotope.cli.datasets.inspection import write_inspection
    from chronotope.data.rendered import changes_since_curation

    page = out or data / "inspection.html"
    for sentence in changes_since_curation(data):
        say(f"note: {sentence}")
    write_inspection(data, page)
    echo(page)


@click.command(
    cls=Command,
    examples="""
    chronotope export data/mine --format webdataset --out shards/mine
    chronotope export data/mine --format croissant --about about.toml
    chronotope export data/mine --format card --about about.toml
    chronotope export data/stage --format parquet
    chronotope export data/mygame --format lerobot
    """,
)
@click.argument("data", type=FILE)
@option("--format", "name", required=True, metavar="NAME", help="webdataset, croissant, parquet, card or lerobot.")
@option(
    "--out",
    type=FILE,
    metavar="PATH",
    help="The folder or file to write.  [default: DATA-shards or DATA-lerobot; card.md or curation.parquet in DATA]",
)
@option("--about", type=FILE, metavar="FILE", help="A TOML file with what you say of the dataset yourself.")
@option(
    "--shard-size",
    type=Number(0.01, 100_000),
    default=1000,
    show_default=True,
    metavar="MB",
    help="The size of a tar shard in megabytes.",
)
def export(data: Path, name: str, out: Path | None, about: Path | None, shard_size: float) -> None:
    """Write a dataset, or a description of it, for other programs.

    DATA is a folder that `chronotope curate` or `chronotope world` made, or any folder of clips. Videos of a model for
    a benchmark, such as vbench, are made by `chronotope export-suite`.

    \b
    webdataset  tar shards, train-000000.tar and heldout-000000.tar ...: clips, captions, rights, scores;
                `chronotope import` reads them back; the same command again resumes
    croissant   croissant.json in DATA, for search engines and loaders, with croissant.jsonl, its list of clips
    parquet     a table of the manifest, with what was left out (needs pyarrow)
    card        card.md, a data card: what it is, where it is from, rights, what was left out, limits
    """
    from chronotope.cli.datasets.export import export_dataset

    echo(export_dataset(data, name, out, about, shard_size))


@click.command(
    cls=Command,
    spread=("--set",),
    examples="""
    chronotope teach ~/videos --out runs/mine --holder "My Lab"
    chronotope teach ~/videos --out runs/mine --holder "My Lab" --hours 2 --words "a robot arm at a bench"
    chronotope teach ~/films --out runs/films --rights rights.toml --max-side 128 --fps 12
    chronotope teach ~/bench --out runs/bench --holder "My Lab" --keep still --set train.muon_rate=0.003
    """,
)
@click.argument("folders", type=FILE, nargs=-1, required=True)
@option("--out", type=FILE, required=True, metavar="DIR", help="The folder of the model; the same command continues.")
@option(
    "--holder",
    default="",
    metavar="NAME",
    help="All files without another licence are this holder's own footage.",
)
@option("--rights", type=FILE, metavar="FILE", help="A rights.toml with licences by file name, and those allowed.")
@option("--allow-unknown", is_flag=True, help="Use files whose licence is unknown, too; this is recorded.")
@option("--hours", type=Number(0.01, 1000), default=1.0, show_default=True, metavar="H", help="Most hours of training.")
@option("--words", default="", metavar="TEXT", help="A caption for clips that have none.  [default: their file's name]")
@option("--from", "start", default="small", show_default=True, metavar="DIR", help="The model to start from.")
@option("--heldout", type=Number(0, 0.9), default=0.1, show_default=True, metavar="SHARE",
        help="Set aside this share of the files, to try the model on.")  # fmt: skip
@option("--replay", type=Number(0, 10), default=0.3, show_default=True, metavar="R", help="Show R clips of the "
        "worlds that the model knows for each of yours, so that it forgets less; 0 for none.")  # fmt: skip
@option("--copy", is_flag=True, help="Copy whole files instead of linking to the same content on disk.")
@option("--max-side", type=click.IntRange(min=16), default=96, show_default=True, metavar="N",
        help="Scale clips of a longer side down to N pixels.")  # fmt: skip
@option("--fps", type=Number(1, 240), default=8.0, show_default=True, metavar="R", help="Most frames a second.")
@option("--max-seconds", type=Number(0.5, 600), default=4.0, show_default=True, metavar="S",
        help="Cut longer clips into equal parts of at most S seconds.")  # fmt: skip
@TEXT
@KEEP
@option("--set", "settings", multiple=True, metavar="PATH=VALUE...", help="Change settings of the training, as in "
        "`train dit`.")  # fmt: skip
def teach(
    folders: tuple[Path, ...],
    out: Path,
    holder: str,
    rights: Path | None,
    allow_unknown: bool,
    hours: float,
    words: str,
    start: str,
    heldout: float,
    copy: bool,
    max_side: int,
    fps: float,
    max_seconds: float,
    text: bool,
    keep: tuple[str, ...],
    settings: tuple[str, ...],
    replay: float,
) -> int:
    """Train a model on your own videos: curate, caption, encode, train, samples, a page.

    FOLDERS hold videos and pictures of any kind, with captions in NAME.txt where there are some. The sizes, rate and
    lengths are those that the shipped model knows; the number of steps follows from a measurement on this machine.
    OUT/index.html shows the result. The exit status is 3 where files cannot be read or may not be used.
    """
    from chronotope.cli.datasets.teach import Lesson, check_lesson
    from chronotope.cli.datasets.teach import teach as learn
    from chronotope.curate.rights import own_footage, read_policy
    from chronotope.data.limits import Limits

    policy = own_footage(holder, allow_unknown) if rights is None else read_policy(rights, holder, allow_unknown)
    limits = Limits(max_side, fps, max_seconds)
    lesson = Lesson(start, hours, limits, words.strip(), heldout, copy, text, keep, settings, replay)
    check_lesson(lesson, out)
    done = learn(folders, out, policy, lesson)
    echo(out / "index.html")
    return LEFT_OUT if done["unusable"] else 0


@click.command(
    cls=Command,
    spread=("--data",),
    examples="""
    chronotope audit runs/mine
    chronotope audit runs/mine --find clip.mp4
    chronotope audit runs/mine --remove films/holiday.mp4
    chronotope audit runs/longer --data data/mine-latents data/stage-latents --json
    """,
)
@click.argument("run", type=FILE)
@option("--data", type=FILE, multiple=True, metavar="DIR", help="Folders of latents.  [default: those in RUN/latents]")
@option("--find", type=FILE, metavar="FILE", help="Say whether this video or picture, or a near copy, trained the run.")
@option("--remove", metavar="NAME", help="Take a clip, or all of a source file, out of the curated dataset for good.")
@option("--list", "listed", is_flag=True, help="Name every clip.")
@option("--json", "as_json", is_flag=True, help="Print JSON.")
def audit(run: Path, data: tuple[Path, ...], find: Path | None, remove: str | None, listed: bool, as_json: bool) -> int:
    """Say which clips trained a run, from which files and under which licences.

    RUN is the folder of a training. Clips of a dataset that `chronotope curate` made have a source, a licence and a
    holder; the Merkle root in the weights is that of their list. The exit status is 3 where the latents of a training
    are not found, so that the answer is not complete.
    """
    from chronotope.cli.datasets.lineage import audited, check_video, find_in, remove_from

    if find and remove:
        raise UsageError("--find and --remove are two questions; ask one after the other")
    if listed and (find or remove):
        raise UsageError("--list names the clips of a run, and neither --find nor --remove does; leave it out")
    if find:
        check_video(find)
        facts = find_in(run, data, find)
    elif remove:
        facts = remove_from(run, data, remove)
    else:
        facts = audited(run, data)
    clips = facts.pop("list", [])
    show({**facts, "list": clips} if as_json and clips else facts, as_json)
    if listed and not as_json:
        for clip in clips:
            echo(", ".join(str(clip[name]) for name in ("clip", "from", "licence", "holder", "sha256") if name in clip))
    return LEFT_OUT if "not found" in facts else 0
