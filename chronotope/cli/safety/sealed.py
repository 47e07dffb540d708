"""What `chronotope seal` and `chronotope evaluate --sealed` do."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chronotope import __version__
from chronotope.cli.evaluate import refuse_strangers_in, save_report
from chronotope.cli.terminal import progress, say
from chronotope.errors import UsageError
from chronotope.evaluate.judge import content_of, judge_output
from chronotope.evaluate.report import make_report
from chronotope.evaluate.sealed.adapter import find_adapter
from chronotope.evaluate.sealed.kit import read_key, read_kit, seal_file
from chronotope.evaluate.sealed.run import Committed, check_run, run_kit
from chronotope.evaluate.suite import name_of, read_cases
from chronotope.evaluate.told import describe, read_origins

__all__ = ["SealedRequest", "evaluate_sealed", "seal_prompts", "sealed_text"]


@dataclass(frozen=True)
class SealedRequest:
    """A kit, and a model behind an adapter or the folder of an earlier run of it."""

    kit: Path
    adapter: str | None
    run: Path | None
    key: Path | None
    expected: tuple[str, ...]
    timeout: float
    out: Path

    def __post_init__(self) -> None:
        if (self.adapter is None) == (self.run is None):
            raise UsageError(
                "--sealed needs one --adapter, a folder or an address, to ask a model; or --videos, the folder of an "
                "earlier run, to check it"
            )
        if self.run is not None and self.key is not None:
            raise UsageError("--key opens the prompts for a model; an earlier run has revealed them, so leave it out")


def seal_prompts(prompts: Path, out: Path, key: Path | None) -> dict[str, Any]:
    """Write a kit and its key; return what is published."""
    place = key or _key_beside(out)
    kit = seal_file(prompts, out, place)
    say(f"{place} opens the prompts: keep it to yourself, and publish the hash of the kit")
    return {"kit": str(out), "prompts": len(kit.items), "hash of the kit": kit.fingerprint}


def _key_beside(kit: Path) -> Path:
    whole = kit.resolve()
    return whole.with_name(f"{whole.name}.key")


def evaluate_sealed(request: SealedRequest) -> dict[str, Any]:
    """Run a kit or check an earlier run of it, judge its outputs where the prompts have specs; return what to print."""
    kit = read_kit(request.kit)
    if request.run is None:
        assert request.adapter is not None
        key = read_key(request.key or _key_beside(request.kit), kit)
        adapter = find_adapter(request.adapter, request.timeout)
        say(f"the kit {kit.fingerprint} has {len(kit.items)} prompts; each is asked once")
        with progress("asking", "outputs") as report:
            run_kit(kit, key, adapter, request.out, f"chronotope {__version__}", report)
    found = check_run(kit, request.run or request.out, request.expected)
    facts: dict[str, Any] = {
        "kit": kit.fingerprint,
        "run": found.head,
        "model": found.model,
        "outputs": f"{sum(one is not None for one in found.outputs)} of {len(found.outputs)}",
        "checked": "signatures, ledger, outputs and prompts fit",
    }
    if not request.expected:
        say("note: compared with no published hash, which --expect gives; a kit and run made anew would fit, too")
    elif found.head not in request.expected:
        say("note: only the hash of the kit was expected; give that of the run, too: one made anew would fit")
    if all("spec" in row for row in found.rows):
        facts["success"] = _judge(found, request)
    return facts


def _judge(found: Committed, request: SealedRequest) -> Any:
    """Judge the outputs of a run by the specs of its prompts, and write the report beside them."""
    out = request.out / "judged"
    refuse_strangers_in(out)
    cases = read_cases((request.run or request.out) / "prompts.jsonl")
    videos = out / "videos"  # as the plan names them, so that the page of the report shows them
    videos.mkdir(parents=True, exist_ok=True)
    verdicts = []
    with progress("judging", "videos") as report:
        for number, (case, output) in enumerate(zip(cases, found.outputs, strict=True), start=1):
            if output is not None:
                shutil.copyfile(output, videos / case.file)
            verdicts.append(judge_output(case, output))
            report(number, len(cases))
    about = {
        "program": f"chronotope {__version__}",
        "model": found.model,
        "plan": f"sealed kit {found.kit.name}, {found.kit.fingerprint}",
        "suite": name_of(cases) or f"not a whole suite of this program: {len(cases)} cases",
        "seeds": "unknown: made elsewhere",
        "content": content_of(videos, [case.file for case in cases]),
        "videos": len(cases),
        "ledger": found.head,
        "folder": os.path.relpath(videos.resolve(), out.resolve()),
    }
    told, notes = describe(cases, read_origins(videos, [case.file for case in cases]))
    for sentence in notes:
        say(f"note: {sentence}")
    made = make_report(verdicts, about | told)
    save_report(made, videos, out)
    return made["summary"]["success"]


def sealed_text(facts: dict[str, Any]) -> dict[str, Any]:
    """Return the facts for people: the success rate in one line."""
    rate = facts.get("success")
    if not isinstance(rate, dict):
        return facts
    return {**facts, "success": f"{rate['share']:.1%} [{rate['interval'][0]:.1%}, {rate['interval'][1]:.1%}]"}
