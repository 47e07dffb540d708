"""Implement `evaluate`, `compare` and `validate-checks`: make or take videos, check them, and report."""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from chronotope import PROGRAM
from chronotope.cli.costs import say_slow_precision
from chronotope.cli.left_out import refuse_twice, scan_and_say
from chronotope.cli.terminal import is_own_video, progress, refuse_strangers, say
from chronotope.cli.use import device, say_unsealed
from chronotope.errors import FileProblem, UsageError, visible
from chronotope.evaluate.judge import Judged, check_folder, content_of, judge_folder, sample_cases
from chronotope.evaluate.make import Workers, maker, through_autoencoder
from chronotope.evaluate.page.html import is_page, write_page
from chronotope.evaluate.reconstruction import measure_reconstruction
from chronotope.evaluate.report import Comparison, compare, make_report, read_report, write_report
from chronotope.evaluate.selection import Sampled
from chronotope.evaluate.suite import is_plan, make_suite, name_of, read_cases, write_cases
from chronotope.evaluate.told import describe, read_origins
from chronotope.evaluate.trial import BARS, FEWEST, Trial, try_checks
from chronotope.flow.solvers import SolverName
from chronotope.generate.pipeline import Generator, find_model, load_autoencoder
from chronotope.generate.stored.adapters import find_adapter
from chronotope.generate.stored.folders import weights_of
from chronotope.geometry import Geometry
from chronotope.media import video
from chronotope.metrics.statistics import Rate
from chronotope.models.autoencoder import Autoencoder
from chronotope.models.precision import Precision, rounded, used_precision
from chronotope.storage import locked, read_json, remove_partials
from chronotope.worlds.case import Case
from chronotope.worlds.catalogue import find_world
from chronotope.worlds.taxonomy import FAILURES
from chronotope.worlds.world import World

__all__ = [
    "EvaluateRequest",
    "compare_reports",
    "comparison_text",
    "evaluate",
    "measure_autoencoder",
    "plan_suite",
    "reconstruction_text",
    "refuse_strangers_in",
    "report_name",
    "report_text",
    "save_report",
    "say_selection",
    "trial_text",
    "try_the_checks",
]

ADDED_SECTIONS = ("layers", "memorisation")  # of a report, by the commands of these names
SCORES = ("psnr", "ssim", "temporal_psnr", "moving_psnr")  # of a reconstructed clip


@dataclass(frozen=True)
class EvaluateRequest:
    """A model and a suite, or videos that were made elsewhere and the plan they were made for."""

    model: str | None
    suite: str
    layer: str
    first: int | None
    out: Path
    videos: Path | None
    specs: Path | None
    workers: int = 1
    steps: int | None = None
    guidance: float | None = None
    solver: SolverName = "euler"
    best_of: int = 1
    adapters: Mapping[str | Path, float] = field(default_factory=dict)
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        if (self.videos is None) != (self.specs is None):
            raise UsageError(
                "--videos and --specs belong together: the videos, and the plan they were made for (--plan writes one)"
            )
        if self.videos is not None and self.model is not None:
            raise UsageError("give a model to be sampled, or --videos that are there already; not both")
        if self.videos is not None and self.layer != "model":
            raise UsageError("--layer says what makes the videos; those of --videos are made already, so leave it out")
        if self.adapters and (self.videos is not None or self.layer != "model"):
            raise UsageError("--adapter changes a model that is sampled; leave it out here")
        if self.precision != "auto" and (self.videos is not None or self.layer == "truth"):
            raise UsageError("--precision is that of the networks, and here none computes; leave it out")
        if self.sampled != Sampled() and (self.videos is not None or self.layer != "model"):
            raise UsageError(
                "--steps, --guidance, --solver and --best-of say how the model is sampled; leave them out here"
            )

    @property
    def sampled(self) -> Sampled:
        """How the model is sampled."""
        return Sampled(self.steps, self.guidance, self.solver, self.best_of)

    def cases(self) -> list[Case]:
        """All of the suite, or its beginning."""
        found = read_cases(self.specs) if self.specs else make_suite(self.suite)
        if self.first is not None and self.first > len(found):
            of = self.specs or f"the suite {self.suite}"
            raise UsageError(
                f"--first {self.first} is too many: {of} has {len(found)} videos; leave it out to take all"
            )
        cases = found[: self.first]
        for name in dict.fromkeys(case.world for case in cases):
            self._check_world(find_world(name))
        return cases

    def _check_world(self, world: World) -> None:
        """Refuse, before anything is written, what cannot be rendered or selected here: it is no
        failure of the model.
        """
        if why := world.unavailable():
            raise FileProblem(why)
        if self.best_of > 1 and not world.selector:
            raise UsageError(f"--best-of needs a selector, and the world '{world.name}' has none; leave it out")


def plan_suite(request: EvaluateRequest, path: Path) -> int:
    """Write what has to be made, and by which seeds; returns how many videos."""
    cases = request.cases()
    refuse_strangers(path, is_plan, "give another file with --plan")
    write_cases(cases, path)
    return len(cases)


def evaluate(request: EvaluateRequest) -> dict[str, Any]:
    """Sample where there is a model to sample, judge every video, and write report.json and index.html."""
    cases = request.cases()
    refuse_strangers_in(request.out)
    with locked(request.out):
        remove_partials(request.out, request.out / "videos")  # of a run that was killed
        found = _evaluate(request, cases)
        remove_partials(request.out, request.out / "videos")  # of its processes that outlived it by a moment
    return found


def _evaluate(request: EvaluateRequest, cases: list[Case]) -> dict[str, Any]:
    about: dict[str, Any] = {"program": PROGRAM}
    earlier = _earlier_report(request.out)
    if request.videos is None:
        verdicts = _sampled(request, cases, about, earlier["about"].get("ledger", "") if earlier else "")
        videos = request.out / "videos"
    else:
        videos = request.videos
        verdicts = _submitted(request, videos, cases, about)
    about["folder"] = os.path.relpath(videos.resolve(), request.out.resolve())
    found = make_report(verdicts, about)
    if earlier and "ledger" in about and earlier["about"].get("ledger") == about["ledger"]:
        found |= {name: earlier[name] for name in ADDED_SECTIONS if name in earlier}  # they are of these very videos
    save_report(found, videos, request.out)
    return found


def refuse_strangers_in(out: Path) -> None:
    """Refuse, before the work, a folder in which `save_report` would replace what this program did not write."""
    page = out / "index.html"

    def is_report(path: Path) -> bool:
        if (out / "ledger.jsonl").is_file() or is_page(page):  # then a damaged report is one of this program too
            return True
        with contextlib.suppress(FileProblem):
            found = read_json(path)
            return isinstance(found, dict) and {"version", "about", "summary", "cases"} <= found.keys()
        return False

    for path, made_here in ((out / "report.json", is_report), (page, is_page)):
        refuse_strangers(path, made_here, "move it away, or write the report into another folder")


def save_report(report: dict[str, Any], videos: Path, out: Path, sealed: bool = True) -> None:
    """Write report.json and the page that shows its videos; say which files the page leaves out."""
    write_report(report, out, sealed)
    outside = write_page(report, videos, out / "index.html")
    if outside:
        count = f"{len(outside)} video{'' if len(outside) == 1 else 's'}"
        say(f"note: the page leaves out {count} that do not lie in {videos} itself, first {outside[0]}")


def _earlier_report(out: Path) -> dict[str, Any] | None:
    """Read the report of an earlier run into this folder, if there is a readable one."""
    if not (out / "report.json").exists():
        return None
    try:
        return read_report(out)
    except FileProblem as problem:
        say(f"note: {problem}; it is written again")
        return None


def _submitted(request: EvaluateRequest, videos: Path, cases: list[Case], about: dict[str, Any]) -> list[Judged]:
    """Judge videos that were made elsewhere, and add to `about` what they are."""
    if (request.out / "ledger.jsonl").exists():
        raise FileProblem(
            f"{request.out} holds videos that a model was sampled for, and their report; give another --out"
        )
    origins = read_origins(videos, [case.file for case in cases]) if videos.is_dir() else {}
    damaged = check_folder(videos, cases, request.first is not None, lambda sentence: say(f"note: {sentence}"), origins)
    if damaged:
        first = next(iter(damaged.values()))
        say(f"note: {len(damaged)} of {len(cases)} videos cannot be decoded and count as failed, first: {first}")
    plan = hashlib.sha256(request.specs.read_bytes()).hexdigest()[:16] if request.specs else ""
    about |= {"model": f"videos in {videos.name}", "plan": f"{request.specs}, sha256 {plan}", "videos": len(cases)}
    about |= {
        "suite": name_of(cases) or f"not a whole suite of this program: {len(cases)} cases",
        "seeds": "unknown: made elsewhere",
        "content": content_of(videos, [case.file for case in cases]),
    }
    told, notes = describe(cases, origins)
    about |= told
    for sentence in notes:
        say(f"note: {sentence}")
    with _workers(request) as workers, progress("judging", "videos") as report:
        found = judge_folder(videos, cases, None, report, workers)
    if content_of(videos, [case.file for case in cases]) != about["content"]:
        raise FileProblem(f"videos in {videos} were changed while they were judged; run the same command again")
    return found


def _sampled(request: EvaluateRequest, cases: list[Case], about: dict[str, Any], ledger_line: str) -> list[Judged]:
    """Sample a model for the cases and judge its videos; `ledger_line` is a hash that the ledger must hold."""
    model = request.model or "small"
    say_slow_precision(request.precision, device())
    if request.workers > 1 and device().type == "cuda":
        raise UsageError(
            f"--workers {request.workers} is for CPUs; a GPU makes one video after the other, so leave it out"
        )
    folder = find_model(model)
    generator = Generator.load(folder, request.adapters or None, request.precision).to(device())
    say_unsealed(folder, *(find_adapter(adapter.folder) for adapter in generator.adapters))
    asked = f"the first {len(cases)} videos of {request.suite}" if request.first else request.suite
    applied = [f"{adapter.folder}={adapter.weight:g} {adapter.hash}" for adapter in generator.adapters]
    about |= {"model": model, "weights": weights_of(folder), "suite": asked}
    about |= {"adapters": ", ".join(applied)} if applied else {}
    about |= {
        "layer": request.layer,
        "videos": len(cases),
        "selection": "none: first try of every case, seeds by hash",
        "device": str(device()),
        **({} if request.layer == "truth" else {"precision": generator.precision}),
        **request.sampled.described(find_world(cases[0].world).selector),
    }
    make = maker(generator, request.layer, request.sampled)
    if not (request.out / "ledger.jsonl").exists():
        for case in cases:
            refuse_strangers(request.out / "videos" / case.file, is_own_video, "give another --out")
    begun = {**about, "torch": torch.__version__}
    with _workers(request, folder) as workers:
        with progress("sampling", "videos") as report:
            ledger = sample_cases(make, cases, request.out, report, begun, workers, ledger_line)
        about["ledger"] = ledger.head
        with progress("judging", "videos") as report:
            return judge_folder(request.out / "videos", cases, ledger, report, workers)


def _workers(request: EvaluateRequest, model: Path | None = None) -> contextlib.AbstractContextManager[Workers | None]:
    return (
        Workers(request.workers, model, request.layer, request.sampled, request.adapters or None, request.precision)
        if request.workers > 1
        else contextlib.nullcontext()
    )


def measure_autoencoder(model: str, data: Sequence[Path], precision: Precision = "auto") -> dict[str, Any]:
    """PSNR, SSIM and temporal PSNR of every clip of these folders, at native size, and their means; and the ceiling it
    sets.
    """
    refuse_twice("--data", data)
    autoencoder = load_autoencoder(find_model(model)).to(device())
    say_unsealed(find_model(model))
    say_slow_precision(precision, device())
    used = used_precision(precision, device())
    autoencoder = rounded(autoencoder, used)
    geometry = Geometry(stride=autoencoder.config.stride)
    clips, rows = [clip for folder in data for clip in scan_and_say(folder).clips], []
    with progress("through the autoencoder", "clips") as report:
        for number, clip in enumerate(clips, start=1):
            content = video.read(clip.path)
            for sentence in filter(None, (*content.remarks, content.damage)):
                say(f"note: {clip.path}: {sentence}")
            frames = content.frames
            found = measure_reconstruction(autoencoder, geometry, frames, len(frames))
            scores = {name: getattr(found, name) for name in SCORES}
            rows.append(
                {"clip": clip.key, "frames": len(frames), "size": f"{frames.shape[2]}x{frames.shape[1]}", **scores}
            )
            report(number, len(clips))
    means = {name: _mean([row[name] for row in rows]) for name in SCORES}
    about = {"ratio": round(found.values_ratio, 2), "channels": found.channels, "precision": used}
    return {"clips": rows, "means": means, **about, "ceiling": _ceiling(autoencoder, geometry)}


def _ceiling(autoencoder: Autoencoder, geometry: Geometry) -> dict[str, Any]:
    """What the checks say of the smoke suite's truth after this autoencoder: more no model that uses it can reach."""
    make, cases, found = through_autoencoder(autoencoder, geometry), make_suite("smoke"), []
    with progress("the ceiling", "videos") as report:
        for number, case in enumerate(cases, start=1):
            found.append(Judged(case, find_world(case.world).check(case, make(case)[0])))
            report(number, len(cases))
    checks = [one.holds for judged in found for one in judged.checks]
    return {
        "suite": "smoke",
        "succeed": {"right": sum(judged.success for judged in found), "of": len(found)},
        "checks": {"right": sum(checks), "of": len(checks)},
    }


def _mean(values: Sequence[float | None]) -> float | None:
    """Of those that are numbers: a picture has no motion, and what came back to the bit has no finite PSNR."""
    finite = [value for value in values if value is not None and math.isfinite(value)]
    return round(sum(finite) / len(finite), 4) if finite else None


def reconstruction_text(found: dict[str, Any]) -> str:
    """A line a clip, and the means."""

    def line(row: dict[str, Any]) -> str:
        temporal = "" if row["temporal_psnr"] is None else f", motion {row['temporal_psnr']:.2f} dB"
        temporal += "" if row["moving_psnr"] is None else f", moving pixels {row['moving_psnr']:.2f} dB"
        return (
            f"{row['psnr']:.2f} dB, SSIM {row['ssim']:.4f}{temporal}"
            if row["psnr"] is not None
            else "every pixel came back"
        )

    lines = [f"{row['clip']} ({row['size']}, {row['frames']} frames): {line(row)}" for row in found["clips"]]
    ceiling = found["ceiling"]
    passing, held = (f"{ceiling[what]['right']} of {ceiling[what]['of']}" for what in ("succeed", "checks"))
    last = f"ceiling: true clips of the {ceiling['suite']} suite through it: {passing} succeed, {held} checks hold"
    return "\n".join(
        [*lines, f"mean of {len(lines)}: {line(found['means'])}; {found['ratio']} times fewer numbers", last]
    )


def report_text(report: dict[str, Any], out: Path) -> str:
    """Write the main numbers of a report for the terminal."""
    summary = report["summary"]
    success = summary["success"]
    lines = [f"success {_rate_text(success)}; over specs {_interval_text(success['interval_over_specs'])}"]
    lines.append(f"all checks {summary['graded']:.1%}")
    for name, levels in summary["strata"].items():
        lines += [f"  {name}: {level:{max(map(len, levels))}}  {_rate_text(rate)}" for level, rate in levels.items()]
    wrong = sorted(
        ((code, rate) for code, rate in summary["failures"].items() if rate["right"]),
        key=lambda item: -item[1]["right"],
    )
    lines += [f"  {code} {FAILURES[code].name}: {rate['share']:.1%}" for code, rate in wrong]
    of = [visible(str(report["about"][name])) for name in ("model", "suite", "layer") if name in report["about"]]
    return "\n".join([*lines, f"of {', '.join(of)}", visible(str(out / "index.html"))])


def _rate_text(rate: dict[str, Any]) -> str:
    """Write a share with its interval and the number of videos."""
    return f"{rate['share']:.1%} {_interval_text(rate['interval'])} of {rate['of']}"


def _interval_text(bounds: Sequence[int | float]) -> str:
    return f"[{bounds[0]:.1%}, {bounds[1]:.1%}]"


def compare_reports(first: Path, second: Path) -> list[Comparison]:
    """Read two reports and compare them."""
    ours, theirs = read_report(first), read_report(second)
    if ours == theirs:
        say(f"note: {first} and {second} are the same report, so nothing differs; name two different ones")
    programs = [str(report["about"].get("program", "an unnamed program")) for report in (ours, theirs)]
    if programs[0] != programs[1]:
        say(f"note: {first} was judged by {programs[0]} and {second} by {programs[1]}, whose checks may differ")
    return compare(ours, theirs)


def report_name(path: Path) -> dict[str, Any]:
    """Where a report lies, and of what it is."""
    about, names = read_report(path)["about"], ("model", "weights", "adapters", "suite", "layer", "selection")
    return {"report": str(path), **{name: about[name] for name in names if name in about}}


def say_selection(path: Path) -> None:
    """Say that the videos of a report are no first tries of a model for its plan: selected, or by their own account of
    another layer, from other words or by other seeds.
    """
    about = read_report(path)["about"]
    chosen = str(about.get("selection", ""))
    if chosen.startswith("best of "):
        say(f"note: the videos of {path} were selected: {chosen}; these are not the numbers of first tries")
    if "ledger" not in about and about.get("layer", "model") != "model":
        say(f"note: the videos of {path} are not of a model: their tags say layer {about['layer']}")
    for name in ("layers by tags", "prompts", "seeds"):
        if "by their tags" in (told := str(about.get(name, ""))):
            say(f"note: of {path}, {told}")


def comparison_text(rows: list[Comparison]) -> str:
    """A line a stratum; those that differ beyond chance are marked."""
    width = max(len(row.stratum) for row in rows)
    lines = [f"{'':{width}}   first  second  only first  only second  p (Holm)"]
    for row in rows:
        mark = " *" if row.adjusted < 0.05 else ""
        shares = f"{row.first.share:7.1%} {row.second.share:7.1%}"
        numbers = f"{shares} {row.only_first:11} {row.only_second:12} {row.adjusted:9.2g}"
        lines.append(f"{row.stratum:{width}} {numbers}{mark}")
    return "\n".join(
        [*lines, "* p < 0.05: of all cases as it is, of the kinds of cases after Holm, since they are many"]
    )


def try_the_checks(count: int, name: str = "stage") -> Trial:
    """Put the checks of a world on trial over so many held-out specs."""
    world = find_world(name)
    if why := world.unavailable():
        raise FileProblem(why)
    cases = list(world.trial(count))
    if not cases:
        raise UsageError(f"the world '{name}' has no cases on which its checks could be tried")
    with progress("checking the checks", "cases") as report:
        return try_checks(world, cases, report)


def trial_text(trial: Trial) -> str:
    """Write what passes, what is caught, what could not be tested, and what is not as promised."""
    problems, untested = trial.missed(), trial.untested()

    def measured(name: str, rate: Rate) -> str:
        if name not in untested:
            return str(rate)
        return f"not tested: {untested[name]} of at least {FEWEST} clips"

    lines = [
        f"truth passes {trial.predicates} of its predicates (asked: {BARS['truth']:.1%}), {trial.truth} of its clips"
    ]
    if len(trial.groups) > 1:
        lines += [f"  {group}: {rate}" for group, rate in trial.groups.items()]
    for name, rate in trial.controls.items():
        lines.append(f"{name:24} fails {measured(name, rate)} (asked: {BARS['control']:.0%})")
    lines.append("fault    caught, where injected                   raised on truth   raised beside it")
    for code in dict.fromkeys([*trial.injected, *trial.codes]):
        raised = f"{trial.false_positive_rate(code).share:14.1%}"
        if code in untested:
            lines.append(f"{code}  {measured(code, Rate(0, 0)):40} {raised}")
        else:
            lines.append(f"{code}  {trial.recall(code)!s:40} {raised}   {_also_raised(trial, code)}")
    if untested:
        lines.append(f"too few clips to say anything about {', '.join(untested)}; give a larger --count")
    kept = "every promise that could be tested is kept" if untested else "every promise is kept"
    return "\n".join([*lines, "NOT as promised: " + "; ".join(problems) if problems else kept])


def _also_raised(trial: Trial, code: str) -> str:
    """List what else is raised on clips with this fault, in at least every tenth of them."""
    often = [
        (other, Rate(count, trial.injected[code])) for other, count in trial.raised[code].most_common() if other != code
    ]
    return ", ".join(f"{other} {rate.share:.0%}" for other, rate in often if rate.share >= 0.1)
