"""A sealed kit and a model -> outputs that are committed by hash before the prompts are revealed, and their check.

The prompts leave the kit one at a time: the next one is opened when the hash of the last output is in the ledger, on
disk. A folder of a run holds ledger.jsonl, outputs/, and at its end commitment.json (the hashes, signed), then
reveal.json (the secret of the kit) and prompts.jsonl. From those alone, and the kit, anybody checks the run.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chronotope.errors import FileProblem
from chronotope.evaluate.documents import check_document, read_document, read_rows
from chronotope.evaluate.ledger import MAX_STARTS, START, Ledger
from chronotope.evaluate.sealed.adapter import Adapter, NoOutputError
from chronotope.evaluate.sealed.kit import Key, Kit, canonical, is_signed, open_item, sign
from chronotope.jsonl import write_jsonl
from chronotope.progress import Progress
from chronotope.storage import file_sha256, locked, write_atomically, write_json

__all__ = ["Committed", "check_run", "run_kit"]

COMMITMENT, REVEAL = "chronotope commitment 1", "chronotope reveal 1"
ASKED = ("prompt", "width", "height", "num_frames", "fps", "seed")  # of a row: what a model is told


@dataclass(frozen=True)
class Committed:
    """A checked run: its ledger's last hash, and of each item the row, the output, None where there is none."""

    kit: Kit
    head: str
    model: str
    rows: tuple[Mapping[str, Any], ...]
    outputs: tuple[Path | None, ...]


def output_name(identity: str, row: Mapping[str, Any]) -> str:
    """Return the file name of an output; one frame is a picture."""
    return f"{identity}{'.png' if row.get('num_frames') == 1 else '.mp4'}"


# Running


def run_kit(kit: Kit, key: Key, adapter: Adapter, out: Path, program: str, report: Progress) -> None:
    """Ask a model for the output of every prompt, once each; commit to the outputs, then reveal the prompts.

    The same call continues a run that was interrupted. Raises FileProblem where the model cannot be reached, and where
    `out` is the run of another kit.
    """
    with locked(out):
        ledger = Ledger(out / "ledger.jsonl")
        _plan(ledger, kit, adapter, program)
        if not (out / "commitment.json").exists():
            _ask_all(ledger, kit, key, adapter, out, report)
            _commit(ledger, kit, key, out)
        _reveal(kit, key, out)


def _plan(ledger: Ledger, kit: Kit, adapter: Adapter, program: str) -> None:
    """Write into the ledger which items will be asked for, or check that it is of this kit and model."""
    if not ledger.rows:
        began = {"kind": "began", "case": "", "program": program, "model": adapter.name, "kit": kit.fingerprint}
        began["run"] = secrets.token_hex(16)  # so that two runs of one kit are told apart
        items = [
            {"kind": "planned", "case": one.id, "seed": 0, "prompt": f"sealed {one.commitment}"} for one in kit.items
        ]
        ledger.write(began, *items)
    began = ledger.rows[0]
    if (began.get("kit"), began.get("model")) != (kit.fingerprint, adapter.name):
        raise FileProblem(
            f"{ledger.path} is of the kit {str(began.get('kit'))[:16]} and the model '{began.get('model')}', not of "
            f"{kit.fingerprint[:16]} and '{adapter.name}'; give another --out"
        )


def _ask_all(ledger: Ledger, kit: Kit, key: Key, adapter: Adapter, out: Path, report: Progress) -> None:
    for name, starts in ledger.unfinished().items():
        if starts >= MAX_STARTS:
            reason = f"the program was killed {starts} times while this output was made"
            ledger.write({"kind": "failed", "case": name, "reason": reason})
    ended = ledger.ended()
    for number, item in enumerate(kit.items, start=1):
        if item.id not in ended:
            row = open_item(item, key.secret)
            ledger.write({"kind": "started", "case": item.id})
            found = _ask(row, item.id, kit, adapter, ledger, out)
            ledger.write(found)
            adapter.receipt({**found, "kit": kit.fingerprint, "ledger": ledger.head})
        report(number, len(kit.items))


def _ask(
    row: Mapping[str, Any], identity: str, kit: Kit, adapter: Adapter, ledger: Ledger, out: Path
) -> dict[str, Any]:
    """Return the line of the ledger about one output."""
    name, started = output_name(identity, row), time.monotonic()
    about = {"id": identity, "file": name, "kit": kit.fingerprint, "run": ledger.rows[0]["run"]}
    request = about | {key: row[key] for key in ASKED if key in row}
    try:
        content = adapter.make(request)
    except NoOutputError as problem:
        return {"kind": "failed", "case": identity, "reason": str(problem)}
    except (FileProblem, KeyboardInterrupt) as problem:
        ledger.write({"kind": "interrupted", "case": identity, "reason": type(problem).__name__})
        raise
    (out / "outputs").mkdir(exist_ok=True)
    write_atomically(out / "outputs" / name, content)
    return {
        "kind": "done",
        "case": identity,
        "file": name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "seconds": round(time.monotonic() - started, 3),
    }


def _commit(ledger: Ledger, kit: Kit, key: Key, out: Path) -> None:
    ledger.check_whole()
    done = ledger.of("done")
    outputs = {one.id: done[one.id]["sha256"] if one.id in done else None for one in kit.items}
    document = {"format": COMMITMENT, "kit": kit.fingerprint, "ledger": ledger.head, "outputs": outputs}
    write_json(out / "commitment.json", sign(document, key.signer))


def _reveal(kit: Kit, key: Key, out: Path) -> None:
    rows = [open_item(one, key.secret) for one in kit.items]
    write_jsonl(out / "prompts.jsonl", rows)
    write_json(out / "reveal.json", {"format": REVEAL, "kit": kit.fingerprint, "secret": key.secret.hex()})


# Checking


def check_run(kit: Kit, folder: Path, expected: Sequence[str] = ()) -> Committed:
    """Check a run against its kit: signatures, the chain of the ledger, every output, every prompt.

    `expected` are hashes that were published: of the kit, or of the run (its last line of the ledger). Raises
    FileProblem that names the first thing that does not fit.
    """
    commitment = read_document(folder / "commitment.json", "sealed_commitment")
    where = folder / "commitment.json"
    if not is_signed(commitment, kit.public_key):
        raise FileProblem(f"{where} is not signed by the holder of this kit: it was changed, or is of another kit")
    if commitment["kit"] != kit.fingerprint:
        raise FileProblem(f"{where} is of the kit {commitment['kit'][:16]}, and this one is {kit.fingerprint[:16]}")
    for one in expected:
        if one not in (kit.fingerprint, commitment["ledger"]):
            raise FileProblem(
                f"{one[:16]} was published, and this is the kit {kit.fingerprint[:16]} with the run "
                f"{commitment['ledger'][:16]}: one of them was exchanged"
            )
    ledger = _whole_ledger(kit, folder, commitment)
    rows = _revealed(kit, folder)
    outputs = tuple(
        _output(folder, one.id, row, commitment["outputs"], ledger) for one, row in zip(kit.items, rows, strict=True)
    )
    added = {path.name for path in (folder / "outputs").glob("[!.]*")} - {path.name for path in outputs if path}
    if added:
        raise FileProblem(f"{folder / 'outputs' / min(added)} was added: no prompt of the kit has this output")
    return Committed(kit, ledger.head, str(ledger.rows[0]["model"]), tuple(rows), outputs)


def _whole_ledger(kit: Kit, folder: Path, commitment: Mapping[str, Any]) -> Ledger:
    """Read the ledger; raise FileProblem unless it is whole, and its plan and end are those of kit and commitment."""
    ledger = Ledger(folder / "ledger.jsonl")
    if ledger.torn or ledger.head == START or ledger.head != commitment["ledger"]:
        raise FileProblem(f"{ledger.path} was cut or changed: it does not end as the commitment says")
    ledger.check_whole()
    planned = [(row["case"], row["prompt"]) for row in ledger.rows if row["kind"] == "planned"]
    if ledger.rows[0].get("kit") != kit.fingerprint or planned != [
        (one.id, f"sealed {one.commitment}") for one in kit.items
    ]:
        raise FileProblem(f"{ledger.path} plans other prompts than those of the kit")
    place = {one.id: number for number, one in enumerate(kit.items)}
    told = [place[row["case"]] for row in ledger.rows if row["kind"] not in ("began", "planned")]
    if told != sorted(told):
        raise FileProblem(f"{ledger.path} says that a prompt was revealed before the last output was committed")
    if list(commitment["outputs"]) != [one.id for one in kit.items]:
        raise FileProblem(f"{folder / 'commitment.json'} commits to other items than those of the kit")
    return ledger


def _revealed(kit: Kit, folder: Path) -> list[dict[str, Any]]:
    """Open the prompts with the revealed secret; raise FileProblem where those that are written out are others."""
    reveal = read_document(folder / "reveal.json", "sealed_reveal")
    if reveal["kit"] != kit.fingerprint:
        raise FileProblem(f"{folder / 'reveal.json'} is of another kit")
    rows = [open_item(one, bytes.fromhex(reveal["secret"])) for one in kit.items]
    path = folder / "prompts.jsonl"
    written = []
    for where, row in read_rows(path, "prompt"):
        check_document(row, "sealed_row", f"{where} is no prompt:")
        written.append(row)
    if canonical(written) != canonical(rows):
        raise FileProblem(f"{path} holds other prompts than the kit; they were changed after they were revealed")
    return rows


def _output(
    folder: Path, identity: str, row: Mapping[str, Any], committed: Mapping[str, str | None], ledger: Ledger
) -> Path | None:
    """Return the path of an output that is the one that was committed, or None where there was none."""
    done, name = ledger.of("done").get(identity), output_name(identity, row)
    if (done["sha256"] if done else None) != committed[identity] or (done and done["file"] != name):
        raise FileProblem(f"item {identity}: the ledger names another output than the commitment")
    path = folder / "outputs" / name
    if done is None:
        if path.exists():
            raise FileProblem(f"{path} was added: the model made no output for this prompt")
        return None
    if file_sha256(path) != committed[identity]:
        raise FileProblem(f"{path} is not the output that was committed; it was changed")
    return path
