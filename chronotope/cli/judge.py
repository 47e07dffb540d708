"""Declare the evaluation commands; `commands` adds them to the others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from chronotope.cli.left_out import refuse_beside
from chronotope.cli.terminal import (
    FILE,
    JSON,
    MODEL,
    PRECISION,
    STEPS,
    Command,
    Number,
    echo,
    facts_text,
    option,
    say,
    visible,
)
from chronotope.processes import MAX_WORKERS

__all__ = ["compare", "evaluate", "export_suite", "layers", "memorisation", "validate_checks"]

# Larger numbers are slips of the keyboard: they would take days or all memory before they fail.
MAX_TRIES, MAX_TRIAL = 1000, 100_000

FOLDER = option(
    "--folder",
    type=FILE,
    metavar="DIR",
    help="Where the videos of the report lie, if not below its own folder: the page shows no others.",
)


@click.command(
    cls=Command,
    sections={
        "what is evaluated": ["adapters", "suite", "layer", "first", "videos", "specs", "reconstruction", "data"],
        "how the model is sampled": ["steps", "guidance", "solver", "best_of", "precision"],
        "a sealed kit": ["sealed", "key", "expected", "timeout"],
        "what comes out": ["out", "plan", "workers", "as_json"],
    },
    examples="""
    chronotope evaluate small --suite smoke --out out/smoke
    chronotope evaluate runs/mine --suite standard --workers 2 --out out/standard
    chronotope evaluate small --adapter runs/mine --suite smoke --out out/adapted
    chronotope evaluate small --suite tasks --out out/tasks
    chronotope evaluate --suite smoke --plan specs.jsonl
    chronotope evaluate --videos theirs --specs specs.jsonl --out out/theirs
    chronotope evaluate small --suite smoke --layer autoencoder --out out/ceiling
    chronotope evaluate --reconstruction small --data data/heldout
    chronotope evaluate --sealed kit --adapter http://127.0.0.1:8000 --out out/theirs
    chronotope evaluate --sealed kit --videos out/theirs --out out/checked
    """,
    spread=("--data", "--expect"),
)
@click.argument("model", required=False)
@option(
    "--adapter",
    "adapters",
    multiple=True,
    metavar="DIR[=WEIGHT]",
    help="Evaluate the model with this adapter added, times a weight (1); several are added up. Of a sealed kit: "
    "a folder that requests are put into, or the address of a service with the calls of /v1/videos.",
)
@option(
    "--suite",
    default="smoke",
    show_default=True,
    metavar="NAME",
    help="smoke (24 videos), standard (1200 scenes, four runs) or full (4800 scenes, four runs); lengths, sizes, "
    "prompts or tasks: the same scenes at several levels; table: solids that fall and collide, from a first picture "
    "(needs MuJoCo); crafter: what a player does in a pixel world (needs Crafter).",
)
@option(
    "--layer",
    type=click.Choice(["model", "autoencoder", "truth"]),
    default="model",
    show_default=True,
    help="What makes the videos. autoencoder: true clips, encoded and decoded, the upper bound for any model; "
    "truth: true clips, which measures the errors of the checks.",
)
@option(
    "--first", type=click.IntRange(min=1), metavar="N", help="Only the first N videos of the suite; the report says so."
)
@option(
    "--steps",
    type=STEPS,
    metavar="N",
    help="Steps of the sampler.  [default: the model's]",
)
@option(
    "--guidance",
    type=Number(min=0),
    metavar="X",
    help="Guidance scale: how strongly the prompt is followed.  [default: the model's]",
)
@option(
    "--solver",
    type=click.Choice(["euler", "heun"]),
    default="euler",
    show_default=True,
    help="heun evaluates the model twice a step.",
)
@option(
    "--best-of",
    type=click.IntRange(min=1, max=MAX_TRIES),
    metavar="N",
    default=1,
    show_default=True,
    help="Make N videos of each prompt and keep the one in which the detector is most confident of the nouns of the "
    "prompt. The report says so; do not compare it with a first try.",
)
@PRECISION
@option(
    "--workers",
    type=click.IntRange(min=1, max=MAX_WORKERS),
    metavar="N",
    default=1,
    show_default=True,
    help="Number of processes that make or check videos; each uses one core.",
)
@option("--videos", type=FILE, metavar="DIR", help="Check these videos instead of sampling a model.")
@option("--specs", type=FILE, metavar="FILE", help="The plan that --videos were made from, as written by --plan.")
@option(
    "--sealed",
    type=FILE,
    metavar="KIT",
    help="Ask the model behind --adapter for the prompts of this kit, one after the other, each when the last output "
    "is committed by its hash; or check an earlier run of it, --videos.",
)
@option("--key", type=FILE, metavar="FILE", help="The key of the kit.  [default: KIT.key]")
@option(
    "--expect",
    "expected",
    multiple=True,
    metavar="HASH...",
    help="Hashes that were published, of the kit or the run: refuse others.",
)
@option(
    "--timeout",
    type=Number(min=0, max=10**7),
    default=3600.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for one output of a sealed prompt; after that it counts as failed.",
)
@option(
    "--out",
    type=FILE,
    default=Path("report"),
    show_default=True,
    metavar="DIR",
    help="Where videos, ledger, report.json and index.html are written.",
)
@option(
    "--reconstruction",
    metavar="DIR",
    help="Only encode and decode clips with this model's autoencoder: PSNR, SSIM, motion, and the success of true "
    "clips of the smoke suite after it.",
)
@option("--data", type=FILE, multiple=True, metavar="FOLDER...", help="The clips for --reconstruction, of any size.")
@option(
    "--plan",
    type=FILE,
    metavar="FILE",
    help="Only write a plan of the videos to make: file names, prompts, sizes, seeds and specs.",
)
@JSON
def evaluate(
    model: str | None,
    adapters: tuple[str, ...],
    plan: Path | None,
    reconstruction: str | None,
    data: tuple[Path, ...],
    sealed: Path | None,
    key: Path | None,
    expected: tuple[str, ...],
    timeout: float,
    as_json: bool,
    **request: Any,
) -> None:
    """Sample a suite, check every video against its spec, and report.

    MODEL is a run folder or the name of a model in the package (default: small). No video is selected: every case is
    planned in a ledger before the first one is made, each has one try, and crashes count as failures. Run the same
    command again to continue after an interruption.
    """
    why, known = _MODES[
        "earlier run"
        if sealed is not None and request["videos"] is not None
        else "sealed"
        if sealed is not None
        else "reconstruction"
        if reconstruction is not None or data
        else "plan"
        if plan is not None
        else "videos"
        if request["videos"] is not None
        else "model"
    ]
    refuse_beside(why, *known.split())
    if sealed is not None:
        _evaluate_sealed(sealed, adapters, request["videos"], key, expected, timeout, request["out"], as_json)
        return
    from chronotope.cli import evaluate as work
    from chronotope.cli.inputs import weights_of_adapters

    if (reconstruction is None) != (not data):
        raise click.UsageError(
            "--reconstruction and --data need each other: a model, and folders of clips to encode and decode"
        )
    if reconstruction is not None:
        found = work.measure_autoencoder(reconstruction, data, request["precision"])
        echo(json.dumps(found, indent=1) if as_json else work.reconstruction_text(found))
        return
    asked = work.EvaluateRequest(model, adapters=weights_of_adapters(adapters), **request)
    if plan is not None:
        say(f"{plan} plans {work.plan_suite(asked, plan)} videos")
        echo(plan)
        return
    report = work.evaluate(asked)
    echo(json.dumps(report["summary"], indent=1) if as_json else work.report_text(report, asked.out))


# What `evaluate` does, by the option that chooses it: how that is said, and all options that have an effect then.
_SAMPLED = "model adapters suite layer first steps guidance solver best_of precision workers out as_json"
_MODES = {
    "earlier run": ("--sealed with --videos checks an earlier run", "sealed adapters videos key expected out as_json"),
    "sealed": ("--sealed goes with --adapter or --videos", "sealed adapters key expected timeout out as_json"),
    "reconstruction": (
        "--reconstruction goes with --data and --precision alone",
        "reconstruction data precision as_json",
    ),
    "plan": ("--plan only writes a plan of --suite, or of the beginning of it (--first)", "plan suite first"),
    "videos": (
        "--videos are there already, and --specs is their plan",
        "videos specs model layer adapters precision steps guidance solver best_of first workers out as_json",
    ),
    "model": ("--key, --expect and --timeout are those of a sealed kit", _SAMPLED + " videos specs"),
}


def _evaluate_sealed(
    kit: Path,
    adapters: tuple[str, ...],
    run: Path | None,
    key: Path | None,
    expected: tuple[str, ...],
    timeout: float,
    out: Path,
    as_json: bool,
) -> None:
    from chronotope.cli.safety.sealed import SealedRequest, evaluate_sealed, sealed_text

    if len(adapters) > 1:
        raise click.UsageError(f"--sealed asks one model, got {len(adapters)} of --adapter; give one")
    adapter = adapters[0] if adapters else None
    found = evaluate_sealed(SealedRequest(kit, adapter, run, key, expected, timeout, out))
    echo(json.dumps(found, indent=1) if as_json else facts_text(sealed_text(found)))


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
    """Compare two reports of the same cases, in all and in each stratum.

    Exact McNemar tests over all cases and in every stratum; the p values of the strata are adjusted together (Holm).
    With --json, both reports are named with the model and suite that they evaluate.
    """
    from chronotope.cli import evaluate as work
    from chronotope.cli.check import say_problems_of_report

    rows = work.compare_reports(first, second)
    say_problems_of_report(first)
    say_problems_of_report(second)
    for report in (first, second):
        work.say_selection(report)
    plain = [{**vars(row), "first": row.first.share, "second": row.second.share} for row in rows]
    found = {"first": work.report_name(first), "second": work.report_name(second), "comparisons": plain}
    echo(json.dumps(found, indent=1) if as_json else work.comparison_text(rows))


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
@FOLDER
@JSON
def layers(
    model: Path, autoencoder: Path, truth: Path, switched: tuple[Path, ...], folder: Path | None, as_json: bool
) -> None:
    """Attribute failures to the transformer, the decoder or the checks.

    MODEL, AUTOENCODER and TRUTH are reports of the same cases by chronotope evaluate --layer model, autoencoder and
    truth. A failure that the true clip shows is attributed to the checks; one that it shows only after the autoencoder,
    to the decoder; any other, to the transformer. SWITCHED are reports of the model with a changed setting (--steps,
    --solver, --guidance, --best-of): the output says which failures each cures and causes. The result is also added to
    the report MODEL.
    """
    from chronotope.cli import analysis as work
    from chronotope.cli.check import say_problems_of_report

    found = work.attribute(model, autoencoder, truth, switched, folder)
    for report in (model, autoencoder, truth, *switched):
        say_problems_of_report(report)
    echo(json.dumps(found, indent=1) if as_json else work.attribution_text(found))


@click.command(
    cls=Command,
    examples="""
    chronotope memorisation out/standard --data out/small/world/small --baseline data/heldout
    chronotope memorisation theirs --data small:20000:10 --baseline small:500:7:heldout acts:200:7:heldout
    chronotope memorisation theirs --data acts:9000:31:dissolves=0.4 --baseline acts:500:7:heldout
    """,
    spread=("--data", "--baseline"),
)
@click.argument("videos", type=FILE)
@option("--data", multiple=True, required=True, metavar="CLIPS...", help="The clips that the model was trained on.")
@option(
    "--baseline",
    multiple=True,
    required=True,
    metavar="CLIPS...",
    help="True clips of the same kind, held out from training.",
)
@FOLDER
@JSON
def memorisation(
    videos: Path, data: tuple[str, ...], baseline: tuple[str, ...], folder: Path | None, as_json: bool
) -> None:
    """Measure how near each video is to its nearest training clip.

    The same is measured for held-out clips: a copy is nearer than almost all of them. VIDEOS is a folder of videos, or
    of a report, to which the result is added. CLIPS is a folder, or SCOPE:COUNT:SEED for the clips that chronotope
    world renders with these options; other options follow after colons: a split, dissolves=SHARE, pictures=SHARE.
    """
    from chronotope.cli import analysis as work
    from chronotope.cli.check import refuse_other_videos

    found = work.measure_memorisation(videos, data, baseline, folder, refuse_other_videos)
    echo(json.dumps(found, indent=1) if as_json else work.memorisation_text(found))


@click.command(
    "export-suite",
    cls=Command,
    examples="""
    chronotope export-suite --format vbench --prompts VBench_full_info.json --out out/vbench
    chronotope export-suite --format compbench --prompts T2V-CompBench/prompts --out out/compbench --model runs/mine
    chronotope export-suite --format physics-iq --prompts descriptions_original.csv --out out/run-2 --seed 1
    chronotope export-suite --format evalcrafter --prompts prompt700.txt --out out/evalcrafter --dry-run
    chronotope export-suite --format vbench --prompts VBench_full_info.json --out theirs --validate
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
@option("--out", type=FILE, required=True, metavar="DIR", help="The folder to fill; run again to continue.")
@MODEL
@option(
    "--seed",
    type=click.IntRange(min=0),
    metavar="N",
    default=0,
    show_default=True,
    help="Added to the seed of every video.",
)
@option("--dry-run", is_flag=True, help="Print what would be made and stop.")
@option("--validate", is_flag=True, help="Only check the folder, which can come from another program.")
def export_suite(name: str, prompts: Path, out: Path, model: str, seed: int, dry_run: bool, validate: bool) -> int:
    """Sample another benchmark's prompts into the folders that it reads.

    It makes videos with a model; datasets are exported by `chronotope export`.

    Names, counts, lengths and tables are those of the benchmark; its prompts do not come with this program.
    manifest.jsonl states the prompt, seed, hash and weights of every video; seeds are hashes, so none is selected.
    Finally the folder is checked: one line for each defect, and exit status 1 if there are any. The folder of a
    physics-iq run is named after --model and --seed.

    The files that --prompts reads, as published by the benchmarks; a folder means all .txt and .json files in it:

    \b
    vbench, vbench-long  .json: [{"prompt_en": TEXT, "dimension": [NAME, ...]}, ...], or
                         DIMENSION.txt, a prompt a line
    vbench2              the same, with dimensions of VBench-2.0
    physics-iq           .csv with the columns scenario, description, generated_video_name;
                         first pictures in switch-frames/ beside it, if there are any
    worldscore           .json: [{"image": PATH, "visual_movement": "static" or "dynamic", ...}, ...],
                         unchanged entries; the pictures below its folder
    evalcrafter          .txt, a prompt a line, or .json: [{"prompt": TEXT}, ...]
    compbench            CATEGORY.txt or CATEGORY.json, as for evalcrafter, or a folder of them
    """
    from chronotope.cli import export as work
    from chronotope.cli.datasets.export import FORMATS
    from chronotope.errors import UsageError
    from chronotope.evaluate.exports.requests import ExportRequest

    if name in FORMATS:
        raise UsageError(f"{name} is a format of datasets; write it with `chronotope export DATA --format {name}`")
    request = ExportRequest(name, prompts, out, model, seed)
    if dry_run and validate:
        raise UsageError("--dry-run and --validate exclude each other; give one of them")
    if validate and name != "physics-iq":  # whose folder is named after both
        refuse_beside("--validate only checks a folder", "name", "prompts", "out", "validate")
    if dry_run:
        echo(facts_text(work.plan_suite(request)))
        return 0
    defects = work.check_suite(request) if validate else work.export_suite(request)
    echo("\n".join(map(visible, defects or [str(out)])))
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
    type=click.IntRange(min=2, max=MAX_TRIAL),
    default=100,
    show_default=True,
    metavar="N",
    help="Held-out specs. The stage adds N specs of the scope returns and N cases of tasks and prompts.",
)
@option(
    "--world",
    metavar="NAME",
    default="stage",
    show_default=True,
    help="The world whose checks are tested: stage, table or pusher (MuJoCo), crafter (Crafter) or doom (ViZDoom).",
)
def validate_checks(count: int, world: str) -> int:
    """Test the checks: recall on injected faults, false positives on truth.

    For the stage, --count N means N specs of the scopes small, acts and deeds, N of the scope returns, and N cases of
    tasks and prompts: 3 N in all. An eighth of the first N are long (4 s and more).

    Exit status 1 if a required rate is not reached.
    """
    from chronotope.cli import evaluate as work

    trial = work.try_the_checks(count, world)
    echo(work.trial_text(trial))
    return 1 if trial.missed() else 0
