"""The commands that judge, as they are declared; `commands` puts them among the others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from chronotope.cli.terminal import FILE, JSON, MODEL, Command, option, say

__all__ = ["compare", "evaluate", "export_suite", "layers", "memorisation", "validate_checks"]


@click.command(
    cls=Command,
    sections={
        "what is judged": ["suite", "layer", "first", "videos", "specs", "reconstruction", "data"],
        "how the model is sampled": ["steps", "guidance", "solver", "best_of"],
        "what comes out": ["out", "plan", "workers", "as_json"],
    },
    examples="""
    chronotope evaluate small --suite smoke --out out/smoke
    chronotope evaluate runs/mine --suite standard --workers 2 --out out/standard
    chronotope evaluate small --suite tasks --out out/tasks
    chronotope evaluate --suite smoke --plan specs.jsonl
    chronotope evaluate --videos somebodys --specs specs.jsonl --out out/theirs
    chronotope evaluate small --suite smoke --layer autoencoder --out out/ceiling
    chronotope evaluate --reconstruction small --data data/heldout
    """,
    spread=("--data",),
)
@click.argument("model", required=False)
@option(
    "--suite",
    default="smoke",
    show_default=True,
    metavar="NAME",
    help="smoke (24 specs), standard (1200, four runs) or full (4800); or the same scenes by level: lengths, sizes, prompts, tasks; "
    "or table: a first picture of solids that fall and meet (needs MuJoCo).",
)
@option(
    "--layer",
    type=click.Choice(["model", "autoencoder", "truth"]),
    default="model",
    show_default=True,
    help="autoencoder: the truth, there and back, which no model can beat; truth: what the checks themselves lose.",
)
@option("--first", type=click.IntRange(min=1), metavar="N", help="Only the first N videos; the report says so.")
@option("--steps", type=click.IntRange(min=1), metavar="N", help="Of the sampler.  [default: as the weights say]")
@option(
    "--guidance",
    type=click.FloatRange(min=0),
    metavar="X",
    help="How loudly words speak.  [default: as the weights say]",
)
@option(
    "--solver",
    type=click.Choice(["euler", "heun"]),
    default="euler",
    show_default=True,
    help="heun: two velocities a step.",
)
@option(
    "--best-of",
    type=click.IntRange(min=1),
    metavar="N",
    default=1,
    show_default=True,
    help="Make N videos of each prompt and keep the one in which the detector is surest of what the words name: another row, and said so.",
)
@option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    default=1,
    show_default=True,
    help="Videos made or judged at a time, a core each.",
)
@option("--videos", type=FILE, metavar="DIR", help="Judge these instead, whoever made them.")
@option("--specs", type=FILE, metavar="FILE", help="The file that planned them.")
@option(
    "--out",
    type=FILE,
    default=Path("report"),
    show_default=True,
    metavar="DIR",
    help="Videos, ledger, report.json and index.html.",
)
@option(
    "--reconstruction",
    metavar="DIR",
    help="Only send clips through this model's autoencoder and back: PSNR, SSIM, motion; and the ceiling that it sets to the smoke suite.",
)
@option("--data", type=FILE, multiple=True, metavar="FOLDER...", help="The clips for --reconstruction, of any size.")
@option(
    "--plan",
    type=FILE,
    metavar="FILE",
    help="Only write what is to be made: file names, prompts, sizes, seeds and specs.",
)
@JSON
def evaluate(
    model: str | None,
    plan: Path | None,
    reconstruction: str | None,
    data: tuple[Path, ...],
    as_json: bool,
    **request: Any,
) -> None:
    """Sample a suite, check every video against its spec, and report.

    MODEL is a run folder or the name of a model inside the package (small, if none is named). Nothing is selected: every case
    is planned in a ledger before the first is made, each has one try, and failures of the system count. Run again to go on
    where it stopped.
    """
    from chronotope.cli import evaluate as work

    if (reconstruction is None) != (not data):
        raise click.UsageError(
            "--reconstruction and --data belong together: a model, and folders of clips to send through it"
        )
    if reconstruction is not None:
        found = work.measure_autoencoder(reconstruction, data)
        click.echo(json.dumps(found, indent=1) if as_json else work.measures_in_words(found))
        return
    asked = work.EvaluateRequest(model, **request)
    if plan is not None:
        say(f"{plan} plans {work.plan_suite(asked, plan)} videos")
        click.echo(plan)
        return
    report = work.evaluate(asked)
    click.echo(json.dumps(report["summary"], indent=1) if as_json else work.in_words(report, asked.out))


@click.command(
    cls=Command,
    examples="""
    chronotope compare out/before out/after
    chronotope compare out/mine/report.json out/theirs/report.json --json
    """,
)
@click.argument("first", type=FILE)
@click.argument("second", type=FILE)
@JSON
def compare(first: Path, second: Path, as_json: bool) -> None:
    """Two reports of the same cases: what got better, what got worse.

    Exact McNemar tests over all cases and over every stratum; the strata's p values are adjusted together (Holm). --json names
    both reports and what each is of.
    """
    from chronotope.cli import evaluate as work

    rows = work.compare_reports(first, second)
    plain = [{**vars(row), "first": row.first.share, "second": row.second.share} for row in rows]
    found = {"first": work.report_name(first), "second": work.report_name(second), "comparisons": plain}
    click.echo(json.dumps(found, indent=1) if as_json else work.comparison_in_words(rows))


@click.command(
    cls=Command,
    examples="""
    chronotope layers out/model out/autoencoder out/truth
    chronotope layers out/model out/autoencoder out/truth out/60-steps out/best-of-4
    """,
)
@click.argument("model", type=FILE)
@click.argument("autoencoder", type=FILE)
@click.argument("truth", type=FILE)
@click.argument("switched", type=FILE, nargs=-1)
@JSON
def layers(model: Path, autoencoder: Path, truth: Path, switched: tuple[Path, ...], as_json: bool) -> None:
    """Which layer is at fault: reports of the same cases, each with one layer switched.

    The first three are of chronotope evaluate with --layer model, autoencoder and truth. A failure that the truth shows too is the
    checks' fault, one that the truth shows after the autoencoder is the decoder's, the rest is the transformer's. Of further reports
    (--steps, --solver, --guidance, --best-of) it says what they cure and what they break. The table goes into the first report too.
    """
    from chronotope.cli import analysis as work

    found = work.attribute(model, autoencoder, truth, switched)
    click.echo(json.dumps(found, indent=1) if as_json else work.in_words(found))


@click.command(
    cls=Command,
    examples="""
    chronotope memorisation out/standard --data out/small/world/small --baseline data/heldout
    chronotope memorisation somebodys --data small:20000:10 --baseline small:500:7:heldout acts:200:7:heldout
    chronotope memorisation somebodys --data acts:9000:31:dissolves=0.4 small:11000:41:pictures=1 --baseline small:500:7:heldout
    """,
    spread=("--data", "--baseline"),
)
@click.argument("videos", type=FILE)
@option("--data", multiple=True, required=True, metavar="CLIPS...", help="What the model was trained on.")
@option(
    "--baseline",
    multiple=True,
    required=True,
    metavar="CLIPS...",
    help="True clips like those asked for, held out from training.",
)
@JSON
def memorisation(videos: Path, data: tuple[str, ...], baseline: tuple[str, ...], as_json: bool) -> None:
    """How near each video is to its nearest training clip.

    Beside it stands how near held-out clips are: copies are nearer than nearly all of these. VIDEOS is a folder of videos, or that of
    a report, to which the result is added. CLIPS are a folder, or SCOPE:COUNT:SEED, the clips that chronotope world stage renders with
    these; what else it was told follows after colons: a split, dissolves=SHARE, pictures=SHARE.
    """
    from chronotope.cli import analysis as work

    found = work.measure_memorisation(videos, data, baseline)
    click.echo(json.dumps(found, indent=1) if as_json else work.memorisation_in_words(found))


@click.command(
    "export-suite",
    cls=Command,
    examples="""
    chronotope export-suite --format vbench --prompts VBench_full_info.json --out out/vbench
    chronotope export-suite --format compbench --prompts T2V-CompBench/prompts --out out/compbench --model runs/mine
    chronotope export-suite --format physics-iq --prompts descriptions_original.csv --out out/run-2 --seed 1
    chronotope export-suite --format evalcrafter --prompts prompt700.txt --out out/evalcrafter --dry-run
    chronotope export-suite --format vbench --prompts VBench_full_info.json --out somebodys --validate
    """,
)
@option(
    "--format",
    "name",
    required=True,
    metavar="NAME",
    help="vbench, vbench-long, vbench2, physics-iq, worldscore, evalcrafter or compbench.",
)
@option(
    "--prompts",
    type=FILE,
    required=True,
    metavar="FILE",
    help="Your copy of the benchmark's prompts: .txt, .json or .csv, or a folder.",
)
@option("--out", type=FILE, required=True, metavar="DIR", help="The folder to fill; run again to go on.")
@MODEL
@option(
    "--seed",
    type=click.IntRange(min=0),
    metavar="N",
    default=0,
    show_default=True,
    help="Added to the seed of every video.",
)
@option("--dry-run", is_flag=True, help="Print what would be made, then stop.")
@option("--validate", is_flag=True, help="Make nothing, only check what is there, whoever made it.")
def export_suite(name: str, prompts: Path, out: Path, model: str, seed: int, dry_run: bool, validate: bool) -> int:
    """Sample the prompts of another benchmark into its own folders.

    Names, counts, lengths and tables are as that benchmark wants them; no prompts come with this program. manifest.jsonl says of
    every video its prompt, seed, hash and weights; seeds are hashes, so nothing is chosen. In the end everything is checked: a line
    a defect, and exit status 1 if there is one. The folder of a physics-iq run is named after --model and --seed.

    What --prompts is, as the benchmarks ship it; a folder stands for all .txt and .json files in it:

    \b
    vbench, vbench-long  .json: [{"prompt_en": TEXT, "dimension": [NAME, ...]}, ...], or
                         DIMENSION.txt, a prompt a line
    vbench2              the same, under dimensions of VBench-2.0
    physics-iq           .csv with the columns scenario, description, generated_video_name;
                         first pictures in switch-frames/ beside it, if there are any
    worldscore           .json: [{"image": PATH, "visual_movement": "static" or "dynamic", ...}, ...],
                         entries whole as they are shipped; the pictures below its folder
    evalcrafter          .txt, a prompt a line, or .json: [{"prompt": TEXT}, ...]
    compbench            CATEGORY.txt or CATEGORY.json, as for evalcrafter, or a folder of them
    """
    from chronotope.cli import export as work
    from chronotope.cli.info import in_words
    from chronotope.evaluate.exports.requests import ExportRequest

    request = ExportRequest(name, prompts, out, model, seed)
    if dry_run:
        click.echo(in_words(work.plan_suite(request)))
        return 0
    defects = work.check_suite(request) if validate else work.export_suite(request)
    click.echo("\n".join(defects or [str(out)]))
    return 1 if defects else 0


@click.command(
    "validate-checks",
    cls=Command,
    examples="""
    chronotope validate-checks
    chronotope validate-checks --count 400
    chronotope validate-checks --world table --count 60
    """,
)
@option(
    "--count",
    type=click.IntRange(min=2),
    default=100,
    show_default=True,
    metavar="N",
    help="Held-out specs; of the stage as many more of the scope returns, and as many cases of tasks and prompts.",
)
@option(
    "--world",
    metavar="NAME",
    default="stage",
    show_default=True,
    help="Whose checks: stage or table; the table needs MuJoCo.",
)
def validate_checks(count: int, world: str) -> int:
    """Put the checks on trial: truth passes, planted faults are caught.

    On the stage, --count N means N specs of the scopes small, acts and deeds, N of the scope returns, and N cases of the tasks of the
    canvas and of what prompts ask for: three times N in all. An eighth of the first N are long, 4 s and more.

    Exit status 1 if a promise is not kept.
    """
    from chronotope.cli import evaluate as work

    trial = work.try_the_checks(count, world)
    click.echo(work.trial_in_words(trial))
    return 1 if trial.missed() else 0
