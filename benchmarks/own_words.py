"""Measure what the exchange of words does for a model of the user's own captions: captions in other people's words.

The shipped model stands for one of own captions: prompts are read by the words of its captions and the table that
`train` compiles from WordNet, not by the grammar of the worlds. The captions of the suite `prompts` (its form
`rewritten`) get other words for their nouns, colours and verbs, from the lists that others wrote (benchmarks/language),
drawn by the number of the scene. Each is told as it is and exchanged, with the same seed; every video is a first try.
`python -m benchmarks.own_words --first 54` writes own_words.json; an interrupted run goes on.
"""

from __future__ import annotations

import argparse
import random
import re
from collections import Counter
from pathlib import Path

import torch

from benchmarks.expansion import succeeds
from benchmarks.harness import HERE, say
from chronotope.caption.expand import Expansion
from chronotope.caption.vocabulary import Vocabulary, compile_similar
from chronotope.caption.words.lexicon import lemmas, load_lexicon
from chronotope.data.record import read_record
from chronotope.evaluate.suite import make_suite
from chronotope.generate.pipeline import Generator, find_model
from chronotope.jsonl import append_jsonl, read_jsonl
from chronotope.metrics.statistics import Rate, mcnemar
from chronotope.storage import read_json, write_json

ARMS = ("as told", "exchanged")


def main() -> None:
    """Sample, judge and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=54, help="scenes of the suite")
    parser.add_argument("--rows", type=Path, default=Path("out/own_words.jsonl"), help="a line a video")
    options = parser.parse_args()
    torch.set_num_threads(1)
    generator, others = Generator.load("small"), other_words()
    record = read_record(read_json(find_model("small") / "dit" / "model.json"))
    assert record is not None
    known = frozenset(record.words)
    similar = compile_similar(known)
    if similar is None:
        raise SystemExit("WordNet is not installed")
    vocabulary = Vocabulary(known, similar)
    options.rows.parent.mkdir(parents=True, exist_ok=True)
    done = (
        {(row["case"], row["arm"]): row["success"] for row in read_jsonl(options.rows)}
        if options.rows.is_file()
        else {}
    )
    changed = 0
    for case in make_suite("prompts"):
        told = in_other_words(case.prompt, others, case.index)
        if case.form != "rewritten" or case.index >= options.first or told == case.prompt:
            continue
        exchanged = vocabulary.expand(told)
        changed += exchanged.changed
        for arm, prompt in zip(ARMS, (told, exchanged.prompt), strict=True):
            if (case.id, arm) not in done:
                done[case.id, arm] = succeeds(generator, case, Expansion(told, prompt))
                append_jsonl(options.rows, {"case": case.id, "arm": arm, "told": prompt, "success": done[case.id, arm]})
    pairs = [(done[case, ARMS[0]], done[case, ARMS[1]]) for case, arm in done if arm == ARMS[1]]
    better, worse = (sum(pair == which for pair in pairs) for which in ((False, True), (True, False)))
    rates = {arm: Rate(sum(pair[at] for pair in pairs), len(pairs)) for at, arm in enumerate(ARMS)}
    found = {arm: [rate.successes, rate.trials, *(round(x, 4) for x in rate.interval)] for arm, rate in rates.items()}
    table = {**found, "changed": changed, "better": better, "worse": worse, "p": mcnemar(worse, better)}
    table["words"] = words_of_lists()
    write_json(HERE / "own_words.json", table)
    say(str(table))


def other_words() -> dict[str, list[str]]:
    """Return for words of captions the single words that others gave for them, in the forms that they gave."""
    found: dict[str, list[str]] = {}
    for path in sorted((HERE / "language").glob("words-*.tsv")):
        for line in path.read_text(encoding="utf-8").splitlines():
            word, kind, expected = line.lower().split("\t")
            form = next((form for lemma, form in lemmas(word) if form == "s" or kind != "verb"), "")
            wanted = f"{expected}s" if kind == "verb" and form == "s" else expected
            if " " not in word and expected not in ("none", word) and (kind != "verb" or form == "s"):
                found.setdefault(wanted, []).append(word)
    return {word: sorted(set(others) - {word}) for word, others in found.items()}


def words_of_lists() -> dict[str, int]:
    """Count the single words of the lists that are exchanged for the expected word, by the words of all worlds."""
    meant = {meaning.word for found in load_lexicon().meanings.values() for meaning in found if meaning.kind != "alike"}
    known = frozenset(word for phrase in meant for word in phrase.split())
    vocabulary, counts = Vocabulary(known, compile_similar(known)), Counter[str]()
    for path in sorted((HERE / "language").glob("words-*.tsv")):
        for line in path.read_text(encoding="utf-8").splitlines():
            word, _, expected = line.lower().split("\t")
            if " " in word:
                continue
            told = vocabulary.expand(word).prompt
            bases = {told, *(lemma for lemma, _ in lemmas(told))}
            counts["words"] += 1
            counts["with a word"] += expected != "none"
            counts["right"] += expected in bases
            counts["wrong"] += told != word and expected not in bases
    return dict(counts)


def in_other_words(caption: str, others: dict[str, list[str]], seed: int) -> str:
    """Return a caption with another word for each that has some."""
    draw = random.Random(seed)
    return re.sub(r"\w+", lambda found: draw.choice(others.get(found.group()) or [found.group()]), caption)


if __name__ == "__main__":
    main()
