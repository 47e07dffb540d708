"""The installed program and a model -> cards, licences and a bill of materials, for whoever judges them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from chronotope import __version__, checkpoint
from chronotope.cli.info import describe
from chronotope.cli.safety.packages import Package, bill_of_materials, packages
from chronotope.cli.terminal import facts_text, say
from chronotope.errors import ChronotopeError, UsageError
from chronotope.generate.pipeline import Generator, find_model
from chronotope.safety.policy.classifier import WEIGHTS
from chronotope.safety.policy.decide import RULES, default_policy
from chronotope.safety.red_team.prompts import version
from chronotope.storage import PARTS, file_sha256, json_text, read_toml, write_atomically, write_folder

__all__ = ["disclose", "disclosed"]

SYSTEM = Path(__file__).with_name("system-card.md")


def disclose(out: Path, name: str) -> list[str]:
    """Write the cards of the program and of a model into the new folder `out`; return the names of the files."""
    if os.path.lexists(out):
        raise UsageError(f"{out} exists; give another --out")
    files = disclosed(name, packages(), say)

    def fill(target: Path) -> None:
        for file, text in files.items():
            write_atomically(target / file, text)

    out.parent.mkdir(parents=True, exist_ok=True)
    write_folder(out, fill)
    return sorted(files)


def disclosed(
    name: str, installed: Sequence[Package], note: Callable[[str], None] = lambda sentence: None
) -> dict[str, str]:
    """Return the cards of a model, and the licences and the bill of materials of packages, by the name of the file.

    `note` is called with a sentence on each part whose weights are not those that were saved.
    """
    folder = find_model(name)
    cards = {"data-card.md": _data(name, folder), "model-policy.md": _policy()}
    for part in PARTS:
        if (folder / part / "model.json").is_file():
            facts = describe(folder / part)
            if not facts["verified"].startswith("yes"):
                note(f"note: the card of {folder / part} says that its weights are not verified: {facts['verified']}")
            cards[f"model-{part}.md"] = _card(f"Model card: {part} of `{name}`", facts, folder)
    cards |= _card_of_base(folder, note)
    cards["system-card.md"] = _system(name, list(cards))
    licences, bill = json_text([asdict(one) for one in installed]), json_text(bill_of_materials(installed))
    return {**cards, "licences.json": licences, "sbom.cdx.json": bill}


def _card_of_base(folder: Path, note: Callable[[str], None]) -> dict[str, str]:
    """Return the card of the model that an adapter changes, or say why there is none; nothing for a whole model."""
    if not (folder / "dit" / "model.json").is_file():
        return {}
    about = checkpoint.read_description(folder / "dit")
    if about.get("kind") != "adapter":
        return {}
    name, weights = about["base_name"], about["base"]
    try:
        base = find_model(name)
        found = Generator.load(base).names["dit"]
        why = f"it has the weights {found}"
    except ChronotopeError as problem:
        base, found, why = folder, "", str(problem)
    if found != weights:
        note(f"note: no card of the base of this adapter, {name} of the weights {weights}: {why}; disclose it apart")
        return {}
    return {"model-base.md": _card(f"Model card: `{name}`, which the adapter changes", describe(base / "dit"), None)}


def _system(name: str, cards: Sequence[str]) -> str:
    policy = default_policy()
    categories = read_toml(RULES, 2**20)["category"]
    rows = [f"| {about['title']} | {about['advice']} |" for about in categories.values()]
    return SYSTEM.read_text(encoding="utf-8").format(
        version=__version__,
        model=name,
        policy=policy.version,
        hash=policy.hash,
        red_team=version(),
        categories="\n".join(rows),
        cards=", ".join(f"[{Path(card).stem}]({card})" for card in cards),
    )


def _data(name: str, folder: Path) -> str:
    """Return what is recorded of the data that a model was trained on."""
    facts = describe(folder)
    summary = {key: value for key, value in facts.get("summary", {}).items() if key != "scores"}  # the page below
    record = {
        key: ", ".join(map(str, value)) if isinstance(value, list) else value
        for key, value in (facts.get("trained_on") or {}).items()
    }
    shown: dict[str, Any] = {**summary, "record": record or "none"}
    return _card(f"Data card of `{name}`", shown, folder)


def _policy() -> str:
    facts = {
        "kind": "logistic regression over hashed n-grams of characters and words",
        "trained on": f"the red-team set {version()} without held-out templates, phrases of the rules, captions",
        "weights": file_sha256(WEIGHTS),
        "rules": file_sha256(RULES),
    }
    return _card("Model card: the classifier of the policy", facts, None)


def _card(title: str, facts: Mapping[str, Any], folder: Path | None) -> str:
    """Return facts as a page; the card that stands in the folder of a model follows them."""
    kept = {key: value for key, value in facts.items() if key not in ("path", "vocabulary")}
    page = f"# {title}\n\n```text\n{facts_text(kept)}\n```\n"
    own = folder / "README.md" if folder else None
    return f"{page}\n{own.read_text(encoding='utf-8')}" if own and own.is_file() and "Data" in title else page
