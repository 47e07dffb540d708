"""Sealed kits and runs that were tampered with: prompts changed, outputs swapped, hashes cut; every one is refused."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from chronotope.errors import ChronotopeError, FileProblem
from chronotope.evaluate.ledger import START, Ledger
from chronotope.evaluate.sealed.adapter import NoOutputError
from chronotope.evaluate.sealed.kit import hash_of, read_key, read_kit, seal_file, seal_rows, sign
from chronotope.evaluate.sealed.run import check_run, run_kit
from chronotope.storage import read_json, write_json

__all__ = ["TAMPERINGS", "NumberedModel", "make_run", "refused"]

PROMPTS = ("a red ball rolls left", "a boat sails at night", "a fox sleeps", "two stars grow", "a tree", "rain falls")


class NumberedModel:
    """A model whose output is the hash of its prompt; it fails on one of them."""

    name = "numbered"

    def __init__(self, fails: str = "a tree") -> None:
        self.fails, self.asked, self.receipts = fails, list[Mapping[str, Any]](), list[Mapping[str, Any]]()

    def make(self, request: Mapping[str, Any]) -> bytes:
        self.asked.append(request)
        if request["prompt"] == self.fails:
            raise NoOutputError("it has no trees")
        return hashlib.sha512(request["prompt"].encode()).digest()

    def receipt(self, receipt: Mapping[str, Any]) -> None:
        self.receipts.append(receipt)


def make_run(folder: Path, model: NumberedModel | None = None) -> tuple[Path, Path]:
    """Seal prompts and run a model on them; return the folders of the kit and of the run."""
    rows = [{"prompt": text, "seed": number, "fps": 8.0} for number, text in enumerate(PROMPTS)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    kit = seal_file(folder / "prompts.jsonl", folder / "kit", folder / "kit.key")
    key = read_key(folder / "kit.key", kit)
    run_kit(kit, key, model or NumberedModel(), folder / "run", "a program", lambda done, total: None)
    return folder / "kit", folder / "run"


def _edited(path: Path, edit: Callable[[Any], None]) -> None:
    document = read_json(path)
    edit(document)
    write_json(path, document)


def _other_digit(rng: random.Random, text: str) -> str:
    place = rng.randrange(len(text))
    return (
        text[:place] + rng.choice([digit for digit in "0123456789abcdef" if digit != text[place]]) + text[place + 1 :]
    )


def _chained(run: Path, rows: list[dict[str, Any]]) -> None:
    """Write a ledger of these rows with a chain that is right again, as somebody who knows the format can."""
    (run / "ledger.jsonl").unlink()
    (run / "ledger.head.json").unlink()
    Ledger(run / "ledger.jsonl").write(*rows)


def _rows(run: Path) -> list[dict[str, Any]]:
    return Ledger(run / "ledger.jsonl").rows


# Prompts


def kit_digit(rng: random.Random, kit: Path, run: Path) -> None:
    def edit(found: dict[str, Any]) -> None:
        item = rng.choice(found["items"])
        owner, name = rng.choice([(item, "sealed"), (item, "nonce"), (item, "commitment"), (found, "public_key")])
        owner[name] = _other_digit(rng, owner[name])

    _edited(kit / "kit.json", edit)


def kit_items_exchanged(rng: random.Random, kit: Path, run: Path) -> None:
    def edit(found: dict[str, Any]) -> None:
        one, two = rng.sample(found["items"], 2)
        for name in ("commitment", "nonce", "sealed"):
            one[name], two[name] = two[name], one[name]

    _edited(kit / "kit.json", edit)


def prompt_rewritten(rng: random.Random, kit: Path, run: Path) -> None:
    lines = (run / "prompts.jsonl").read_text().splitlines()
    place = rng.randrange(len(lines))
    lines[place] = json.dumps({**json.loads(lines[place]), "prompt": f"another prompt {rng.random()}"})
    (run / "prompts.jsonl").write_text("\n".join(lines) + "\n")


def prompt_dropped(rng: random.Random, kit: Path, run: Path) -> None:
    lines = (run / "prompts.jsonl").read_text().splitlines()
    del lines[rng.randrange(len(lines))]
    (run / "prompts.jsonl").write_text("\n".join(lines) + "\n")


def kit_of_another_key(rng: random.Random, kit: Path, run: Path) -> None:
    """Seal other prompts under a new key; the run stays."""
    document, _ = seal_rows([{"prompt": f"easy {rng.random()}"} for _ in PROMPTS], "prompts")
    write_json(kit / "kit.json", document)


def secret_changed(rng: random.Random, kit: Path, run: Path) -> None:
    _edited(run / "reveal.json", lambda found: found.update(secret=_other_digit(rng, found["secret"])))


# Outputs


def output_bit(rng: random.Random, kit: Path, run: Path) -> None:
    path = rng.choice(sorted((run / "outputs").iterdir()))
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def outputs_swapped(rng: random.Random, kit: Path, run: Path) -> None:
    one, two = rng.sample(sorted((run / "outputs").iterdir()), 2)
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)


def output_removed(rng: random.Random, kit: Path, run: Path) -> None:
    rng.choice(sorted((run / "outputs").iterdir())).unlink()


def output_added(rng: random.Random, kit: Path, run: Path) -> None:
    """Deliver an output after all for the prompt on which the model failed."""
    failed = next(row["case"] for row in _rows(run) if row["kind"] == "failed")
    (run / "outputs" / f"{failed}.mp4").write_bytes(rng.randbytes(64))


def output_with_hashes(rng: random.Random, kit: Path, run: Path) -> None:
    """Exchange an output, and make every hash of it right again; only the signature is missing."""
    rows = _rows(run)
    row = rng.choice([row for row in rows if row["kind"] == "done"])
    content = rng.randbytes(64)
    (run / "outputs" / row["file"]).write_bytes(content)
    row["sha256"] = hashlib.sha256(content).hexdigest()
    _chained(run, rows)

    def edit(found: dict[str, Any]) -> None:
        found["outputs"][row["case"]] = row["sha256"]
        found["ledger"] = Ledger(run / "ledger.jsonl").head

    _edited(run / "commitment.json", edit)


# Hashes


def ledger_cut(rng: random.Random, kit: Path, run: Path) -> None:
    lines = (run / "ledger.jsonl").read_text().splitlines(keepends=True)
    (run / "ledger.jsonl").write_text("".join(lines[: rng.randrange(len(lines))]))


def ledger_cut_with_its_head(rng: random.Random, kit: Path, run: Path) -> None:
    rows = _rows(run)
    _chained(run, rows[: rng.randrange(1, len(rows))])


def ledger_line_dropped(rng: random.Random, kit: Path, run: Path) -> None:
    rows = _rows(run)
    del rows[rng.randrange(1, len(rows))]
    _chained(run, rows)


def ledger_lines_exchanged(rng: random.Random, kit: Path, run: Path) -> None:
    rows = _rows(run)
    one = rng.randrange(1, len(rows) - 1)
    rows[one], rows[one + 1] = rows[one + 1], rows[one]
    _chained(run, rows)


def ledger_digit(rng: random.Random, kit: Path, run: Path) -> None:
    lines = (run / "ledger.jsonl").read_text().splitlines()
    place = rng.randrange(len(lines))
    row = json.loads(lines[place])
    lines[place] = json.dumps({**row, "hash": rng.choice([row["hash"][:-1], _other_digit(rng, row["hash"]), START])})
    (run / "ledger.jsonl").write_text("\n".join(lines) + "\n")


def commitment_digits(rng: random.Random, kit: Path, run: Path) -> None:
    def edit(found: dict[str, Any]) -> None:
        name = rng.choice(["kit", "ledger", "signature"])
        found[name] = rng.choice([found[name][: rng.randrange(len(found[name]))], _other_digit(rng, found[name])])

    _edited(run / "commitment.json", edit)


def commitment_item_dropped(rng: random.Random, kit: Path, run: Path) -> None:
    _edited(run / "commitment.json", lambda found: found["outputs"].pop(rng.choice(list(found["outputs"]))))


def all_made_anew(rng: random.Random, kit: Path, run: Path) -> None:
    """Make the kit and the run again under another key, with another output: only the published hash tells."""
    rows = [json.loads(line) for line in (run / "prompts.jsonl").read_text().splitlines()]
    rows[0]["prompt"] = f"easy {rng.random()}"
    document, key = seal_rows(rows, "prompts")
    write_json(kit / "kit.json", sign(document, key.signer))
    shutil.rmtree(run)
    run_kit(read_kit(kit), key, NumberedModel(), run, "a program", lambda done, total: None)


TAMPERINGS = (
    kit_digit,
    kit_items_exchanged,
    prompt_rewritten,
    prompt_dropped,
    kit_of_another_key,
    secret_changed,
    output_bit,
    outputs_swapped,
    output_removed,
    output_added,
    output_with_hashes,
    ledger_cut,
    ledger_cut_with_its_head,
    ledger_line_dropped,
    ledger_lines_exchanged,
    ledger_digit,
    commitment_digits,
    commitment_item_dropped,
    all_made_anew,
)


def refused(count: int, folder: Path, seed: int = 0) -> dict[str, Any]:
    """Tamper `count` times with a kit or its run; return how many were refused, by kind.

    Published hashes are compared only where all was made anew: nothing else tells that.
    """
    kit, run = make_run(folder / "right")
    published = hash_of(read_json(kit / "kit.json"))
    check_run(read_kit(kit), run, (published,))
    rng, found, tried = random.Random(seed), Counter[str](), Counter[str]()
    accepted = []
    for number in range(count):
        tamper = TAMPERINGS[number % len(TAMPERINGS)]
        copy = folder / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(kit, copy / "kit")
        shutil.copytree(run, copy / "run")
        tamper(rng, copy / "kit", copy / "run")
        tried[tamper.__name__] += 1
        try:
            check_run(read_kit(copy / "kit"), copy / "run", (published,) if tamper is all_made_anew else ())
            accepted.append(f"{number}: {tamper.__name__}")
        except FileProblem:
            found[tamper.__name__] += 1
        except ChronotopeError as problem:
            accepted.append(f"{number}: {tamper.__name__} raised {problem}")
    kinds = {name: f"{found[name]} of {times}" for name, times in tried.items()}
    return {"tampered": count, "refused": found.total(), "not refused": accepted, "by kind": kinds}
