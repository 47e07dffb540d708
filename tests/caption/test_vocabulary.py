"""Prompts for a model of the user's own captions: forms, similar words of WordNet, and typing errors of its words."""

from __future__ import annotations

from pathlib import Path

import pytest

from chronotope.caption.vocabulary import Vocabulary, compile_similar
from chronotope.caption.words.wordnet import WordNet, find_wordnet, lines_from, similar_words
from chronotope.storage import read_json
from tests.cli.models import run, save_clips, save_run
from tests.cli.test_train import train

KNOWN = frozenset("a the dog dogs runs across yard hall black robot arm lifts gear by box".split())


def write_wordnet(folder: Path) -> Path:
    """A database of a dozen meanings in WordNet's format, whose places are those of its lines."""
    folder.mkdir()
    meanings = {
        "noun": [
            ("animal fauna", [], "a living thing"),
            ("dog domestic_dog", ["animal fauna"], "a pet"),
            ("poodle", ["dog domestic_dog"], "a curly one"),
            ("hound", ["dog domestic_dog"], "a hunter"),
            ("beagle", ["hound"], "a small one"),
            ("box", [], "a container"),
            ("bounder hound", [], "a rascal"),
            ("night nighttime", [], "the time after sunset"),
        ],
        "verb": [("run", [], "move fast"), ("lift raise", [], "move up"), ("box package", [], "put into a box")],
        "adj": [("black", [], "without light"), ("ebony black", [], "very black")],
    }
    header = "  1 the licence\n"
    for part, rows in meanings.items():
        kind, places, at = part[0], dict[str, int](), len(header)
        for _ in range(2):  # the first round finds the places
            lines, at = [], len(header)
            for words, above, gloss in rows:
                below = [other for other, over, _ in rows if words in over]
                links = [("@", one) for one in above] + [("~", one) for one in below]
                names = words.split()
                pointers = " ".join(f"{symbol} {places.get(one, 0):08d} {kind} 0000" for symbol, one in links)
                fields = [f"{at:08d} 03 {kind} {len(names):02x}", *(f"{name} 0" for name in names)]
                line = " ".join(filter(None, [*fields, f"{len(links):03d}", pointers])) + f" | {gloss}  \n"
                places[words], at = at, at + len(line)
                lines.append(line)
        (folder / f"data.{part}").write_text(header + "".join(lines))
        index: dict[str, list[int]] = {}
        for words, _, _ in sorted(rows, key=lambda row: row[2] == "a rascal"):  # the most usual first
            for word in words.split():
                index.setdefault(word, []).append(places[words])
        found = (
            f"{word} {kind} {len(at)} 0 {len(at)} 0 {' '.join(f'{one:08d}' for one in at)}  \n"
            for word, at in sorted(index.items())
        )
        (folder / f"index.{part}").write_text(header + "".join(found))
    (folder / "cntlist.rev").write_text(
        "box%1:06:00:: 1 9\nbox%2:35:00:: 1 2\ndog%1:05:00:: 1 42\nrun%2:38:00:: 1 100\n"
    )
    return folder


@pytest.fixture(scope="module")
def wordnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wordnet(tmp_path_factory.mktemp("wordnet") / "dict")


def test_lines_are_found_by_bisection() -> None:
    lines = sorted(f"{word} {number}" for number, word in enumerate(["a", "ab", "b", "bc", "c", "ca"] * 3))
    data = "".join(f"{line}\n" for line in lines).encode()
    for start in ("a ", "ab ", "b ", "bc ", "ca ", "d ", "aa "):
        assert list(lines_from(data, start)) == [line for line in lines if line.startswith(start)]


def test_the_database_is_read(wordnet: Path) -> None:
    nouns = WordNet(wordnet, "noun")
    dog = nouns.meaning(nouns.senses("dog")[0])
    assert dog.words == ("dog", "domestic_dog") and dog.gloss.strip() == "a pet"
    assert [nouns.meaning(place).words for place in dog.above] == [("animal", "fauna")]
    assert {nouns.meaning(place).words[0] for place in dog.below} == {"poodle", "hound"}
    assert len(nouns.senses("hound")) == 2 and nouns.senses("cat") == []
    assert dict(nouns.words())["beagle"] == nouns.senses("beagle")


def test_similar_words_are_synonyms_and_kinds_by_their_usual_meaning(wordnet: Path) -> None:
    found = similar_words({"dog", "lift", "box", "black"}, wordnet)
    # no 'beagle', which is a kind of a kind; no 'package', since 'box' is mostly a noun
    assert found == {"poodle": "dog", "hound": "dog", "raise": "lift"}
    assert similar_words({"animal"}, wordnet) == {"fauna": "animal", "dog": "animal"}
    assert similar_words({"animal", "dog"}, wordnet)["poodle"] == "dog"


def test_words_are_exchanged_where_they_stand(wordnet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WNSEARCHDIR", str(wordnet))
    similar = compile_similar(KNOWN)
    assert similar == {"poodle": "dog", "hound": "dog", "raise": "lift"}
    vocabulary = Vocabulary(KNOWN, similar)
    for typed, told in (
        ("Two poodles run across the yard!", "Two dogs runs across the yard!"),
        ("a robot raises the gears", "a robot lifts the gear"),
        ("the doggo raised a box", "the dog lifts a box"),  # a noun of the reviewed table
        ("a jet-black dog", "a black dog"),
        ("a dgo by the yrad", "a dgo by the yrad"),  # too short to be sure
        ("a roobt in the halll", "a robot in the hall"),
        ("a cat left of the sofa, 2 m", "a cat left of the sofa, 2 m"),  # nothing that captions had
        ("un chien et un robots dans le parc", "un chien et un robots dans le parc"),
        ("(robots:1.4) \U0001f916\n", "(robot:1.4) \U0001f916\n"),
    ):
        found = vocabulary.expand(typed)
        assert (found.prompt, found.negative) == (told, ""), found
        assert bool(found.read) == (typed != told)
    assert vocabulary.expand("un chien et un robot").foreign
    assert vocabulary.expand("roobt " * 2000).prompt == "robot " * 2000


def test_without_wordnet_forms_and_typing_errors_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WNSEARCHDIR", str(tmp_path))
    assert find_wordnet() is None and compile_similar(KNOWN) is None
    found = Vocabulary(KNOWN, {}).expand("poodles lifst gears, raised")
    assert found.prompt == "dogs lifts gear, raised"  # by the reviewed table, a typing error and a form
    assert dict(found.read) == {"poodles": "dogs", "lifst": "lifts", "gears": "gear"}


@pytest.mark.skipif(find_wordnet() is None, reason="needs WordNet (Debian: wordnet-base)")
def test_the_real_database() -> None:
    similar = compile_similar(frozenset("a car drives house meets".split()))
    assert similar is not None
    assert (similar["automobile"], similar["cottage"], similar["encounter"]) == ("car", "house", "meet")
    assert "building" not in similar and "vehicle" not in similar  # which say less


@pytest.mark.parametrize("installed", [True, False])
def test_training_on_own_captions_compiles_the_table(
    installed: bool, wordnet: Path, latents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WNSEARCHDIR", str(wordnet if installed else tmp_path))
    trained = train(
        "dit", latents, str(tmp_path / "run"), "train.steps=1", "--autoencoder", str(latents.parent / "model")
    )
    assert trained.exit_code == 0, trained.output
    assert ("WordNet is not installed" in trained.stderr) != installed
    about = read_json(tmp_path / "run" / "dit" / "model.json")
    assert about.get("similar_words") == ({"nighttime": "night"} if installed else {})
    said = run("expand", "vixens walking at nighttime", "--model", tmp_path / "run", "--why")
    night = "night" if installed else "nighttime"
    assert said.exit_code == 0 and said.stdout == f"fox walks at {night}\n", said.output
    assert "read as: vixens -> fox, walking -> walks" in said.stderr
    plan = run("generate", "a vixen at night", "--model", tmp_path / "run", "--dry-run", "--json").stdout
    assert '"prompt": "a fox at night"' in plan and '"typed_prompt": "a vixen at night"' in plan


def test_a_merged_model_keeps_the_table(
    wordnet: Path, latents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WNSEARCHDIR", str(wordnet))
    model, steps = str(latents.parent / "model"), ("train.steps=1", "train.warmup=0", "train.batch_tokens=60")
    assert train("dit", latents, str(tmp_path / "run"), *steps, "--autoencoder", model).exit_code == 0
    words = "train", "dit", "--from", tmp_path / "run", "--adapter", "--rank", 2, "--data", latents
    assert run(*words, "--out", tmp_path / "adapter", "--set", *steps).exit_code == 0
    result = run("merge", tmp_path / "run", "--adapter", tmp_path / "adapter", "--out", tmp_path / "merged")
    assert result.exit_code == 0, result.output
    assert read_json(tmp_path / "merged" / "dit" / "model.json")["similar_words"] == {"nighttime": "night"}


@pytest.fixture(scope="module")
def latents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    assert (
        run(
            "encode", save_clips(folder / "clips"), "--model", save_run(folder / "model"), "--out", folder / "latents"
        ).exit_code
        == 0
    )
    return folder / "latents"
