"""Count the hops of three values through the package: a prompt to a file, a clip to a loss, a video to a report.

    python tools/walks.py                     print the hops of this checkout
    python tools/walks.py --root ../older     measure another checkout by the same rule; --json FILE keeps the result

A hop is a call inside `chronotope/` that passes the value on, as an argument or inside a container, or a return that
hands back the value or what it has become. Only hops that the end of the walk depends on count. Each pair of
functions counts once a direction; a nested function counts as part of the function around it. A network is entered
and left: calls inside `models/` do not count. Reading a property and parsing the command line do not count, nor do
branches that were not taken.

Each walk is one command with a tiny model that this tool trains for two steps. A profiler records which function was
called from which expression (`record_calls.py`); the syntax trees say which expressions depend on the value
(`value_flow.py`). Numbers, flags and strings other than the prompt do not carry the value.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from record_calls import Recorder
from value_flow import Flow

ROOT = Path(__file__).resolve().parent.parent
PROMPT = "a red circle moves to the left on a white background"
TINY_AUTOENCODER = [
    "model.widths=[8,16]",
    "train.steps=2",
    "train.freeze_encoder_from=1",
    "pool.shapes=[[4,32,32],[1,32,32]]",
    "pool.batch_pixels=20000",
]
TINY = ["model.width=64", "model.depth=1", "train.steps=2", "train.batch_tokens=300"]


def run(*arguments: str | Path) -> None:
    """Run one command in this process and drop what it prints."""
    from chronotope.cli.commands import chronotope

    said, words = io.StringIO(), [str(one) for one in arguments]
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            chronotope.main(words)
        except SystemExit as ended:
            if ended.code:
                raise RuntimeError(f"chronotope {' '.join(words)}: {said.getvalue()}") from ended


def walks(folder: Path) -> dict[str, tuple[list[str | Path], set[object], set[str]]]:
    """Return the command of each walk, the value to follow and the functions it ends in; make what they need."""
    clips, model, truth, plan = folder / "clips", folder / "model", folder / "truth", folder / "plan.jsonl"
    run("world", "stage", "--scope", "shapes", "--count", "4", "--size", "32x32", "--out", clips)
    run("train", "autoencoder", "--preset", "tiny", "--data", clips, "--out", model, "--set", *TINY_AUTOENCODER)
    run("train", "dit", "--preset", "tiny", "--data", clips, "--out", model, "--set", *TINY)
    run("evaluate", "--suite", "smoke", "--first", "1", "--plan", plan)
    run("evaluate", model, "--suite", "smoke", "--first", "1", "--layer", "truth", "--out", truth)
    generate = ["generate", PROMPT, "--model", model, "--size", "32x32", "--steps", "2", "-o", folder / "made.mp4"]
    train = [
        "train",
        "dit",
        "--preset",
        "tiny",
        "--data",
        clips,
        "--autoencoder",
        model,
        "--out",
        folder / "run",
        "--set",
        *TINY,
    ]
    judge = ["evaluate", "--videos", truth / "videos", "--specs", plan, "--out", folder / "report"]
    return {
        "prompt to file": (generate, {PROMPT}, {"VideoWriter.add"}),
        "clip to loss": (train, {clips}, {"prediction_target", "flow_loss"}),
        "video to report": (judge, {truth / "videos"}, {"make_report"}),
    }


def measure(package: Path) -> dict[str, Any]:
    """Return the hops and the files of every walk."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        for walk, (command, seeds, ends) in walks(Path(name)).items():
            recorder = Recorder(package, seeds)
            sys.setprofile(recorder)
            try:
                run(*command)
            finally:
                sys.setprofile(None)
            hops = Flow(package, recorder.edges, ends).hops()
            files = dict.fromkeys(function[0] for _, *ends in hops for function in ends)
            found[walk] = {
                "hops": [[kind, ":".join(one), ":".join(other)] for kind, one, other in hops],
                "files": list(files),
            }
    return found


def report(found: dict[str, Any]) -> str:
    """List the hops in the order in which they were first made, then the totals."""
    lines = []
    for walk, one in found.items():
        lines.append(f"# {walk}")
        lines += [f"{number:4} {kind:6} {start} -> {end}" for number, (kind, start, end) in enumerate(one["hops"], 1)]
    for walk, one in found.items():
        calls = sum(kind == "call" for kind, *_ in one["hops"])
        between = sum(start.split(":")[0] != end.split(":")[0] for _, start, end in one["hops"])
        total = len(one["hops"])
        lines.append(
            f"{walk}: {total} hops ({calls} calls, {total - calls} returns; {between} from file to file) "
            f"through {len(one['files'])} files"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout to measure")
    parser.add_argument("--json", type=Path, help="also write the hops to this file")
    options = parser.parse_args()
    root = options.root.resolve()
    if os.environ.get("PYTHONPATH") != str(root):  # the package to measure is imported, whatever is installed
        arguments = [sys.executable, str(Path(__file__).resolve()), *sys.argv[1:]]
        raise SystemExit(subprocess.run(arguments, env={**os.environ, "PYTHONPATH": str(root)}).returncode)
    import torch

    torch.set_num_threads(1)
    found = measure(root / "chronotope")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    print(report(found))


if __name__ == "__main__":
    main()
