"""Reading of frames, captions and checks, against the truth of true clips."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from chronotope.worlds.crafter.captions import captions, facts, prompt, read_facts
from chronotope.worlds.crafter.checks.reading import read
from chronotope.worlds.crafter.deeds import deeds, pairs
from chronotope.worlds.crafter.draw import draw
from chronotope.worlds.crafter.sample import NEW_COMBINATIONS, CrafterScope, sample_crafter
from chronotope.worlds.crafter.scene import ITEMS
from chronotope.worlds.crafter.simulate import simulate
from chronotope.worlds.crafter.spec import CrafterSpec
from chronotope.worlds.crafter.world import CRAFTER
from tests.worlds.crafter.games import AREA, NEEDS_CRAFTER, case_of

pytestmark = NEEDS_CRAFTER
SCOPE = CrafterScope(area=AREA, lengths=(16, 24), latest=160)
SPECS = range(7)


@pytest.fixture(scope="module")
def specs() -> list[CrafterSpec]:
    """Clips by daylight: the grain of the darkest hours is read with errors."""
    found = [sample_crafter(seed, SCOPE, "train") for seed in SPECS]
    return [spec for spec in found if simulate(spec).scenes.daylight.min() >= 0.5]


def test_true_frames_are_read_exactly(specs: list[CrafterSpec]) -> None:
    for spec in specs:
        episode = simulate(spec)
        found = read(spec, draw(episode.scenes, spec.width, spec.height))
        assert np.array_equal(found.scenes.materials, episode.scenes.materials)
        assert np.array_equal(found.scenes.things, episode.scenes.things)
        assert np.array_equal(found.scenes.inventory, episode.scenes.inventory)
        assert np.array_equal(found.scenes.asleep, episode.scenes.asleep)
        assert np.array_equal(found.positions, episode.positions - episode.positions[0])
        assert found.residual.mean((1, 2)).max() < 1  # level: the light of the textures is rounded to a thousandth


def test_frames_are_read_through_noise(specs: list[CrafterSpec]) -> None:
    rng = np.random.default_rng(0)
    episode = simulate(specs[0])
    frames = draw(episode.scenes, specs[0].width, specs[0].height)
    noisy = np.clip(frames + rng.normal(0, 20, frames.shape), 0, 255).astype(np.uint8)
    found = read(specs[0], noisy)
    assert (found.scenes.materials == episode.scenes.materials).mean() > 0.98
    assert (found.scenes.inventory == episode.scenes.inventory).mean() > 0.98


def test_true_clips_pass(specs: list[CrafterSpec]) -> None:
    for spec in specs:
        failed = [check for check in CRAFTER.check(case_of(spec), CRAFTER.render(spec).frames) if not check.holds]
        assert not failed, spec


def test_captions_claim_only_what_is_true(specs: list[CrafterSpec]) -> None:
    claims = 0
    for spec in specs:
        true = facts(spec)
        for wordings in (*captions(spec, 4).values(), (prompt(spec),)):
            for words in wordings:
                claims += len(read_facts(words))
                assert read_facts(words) <= true, words
    assert claims > 200


def test_the_prompt_claims_every_deed(specs: list[CrafterSpec]) -> None:
    short = [spec for spec in specs if len(deeds(simulate(spec).scenes, simulate(spec).positions)) <= 4]
    assert short
    for spec in short:
        true = {fact for fact in facts(spec) if fact.kind in ("motion", "interaction")}
        assert true == {fact for fact in read_facts(prompt(spec)) if fact.kind in ("motion", "interaction")}


def test_splits_share_neither_maps_nor_combinations(specs: list[CrafterSpec]) -> None:
    for spec in specs:
        episode = simulate(spec)
        assert not pairs(deeds(episode.scenes, episode.positions), episode.scenes) & NEW_COMBINATIONS
        assert CRAFTER.split(spec) == "train"
        assert CRAFTER.split(dataclasses.replace(spec, width=128, height=128)) == "train"
    new = sample_crafter(0, SCOPE, "combination")
    episode = simulate(new)
    assert pairs(deeds(episode.scenes, episode.positions), episode.scenes) & NEW_COMBINATIONS
    kept = sample_crafter(0, SCOPE, "heldout")
    assert kept.seed not in {spec.seed for spec in specs}


def test_a_missing_player_and_a_standing_one_are_found(specs: list[CrafterSpec]) -> None:
    walks = {spec: [one.kind for one in deeds(simulate(spec).scenes, simulate(spec).positions)] for spec in specs}
    spec = next(spec for spec, kinds in walks.items() if "walk" in kinds)
    case = case_of(spec)
    for code in ("TXT-CNT", "MOT-STA"):
        frames = CRAFTER.faults(case)[code](case)
        assert frames is not None
        assert code in {check.code for check in CRAFTER.check(case, frames)}


@pytest.mark.slow
def test_injected_faults_are_found(specs: list[CrafterSpec]) -> None:
    """Each fault that a clip can have is named by its code; `chronotope validate-checks` tries more clips."""
    found: dict[str, list[bool]] = {}
    for spec in specs:
        case = case_of(spec)
        for code, inject in CRAFTER.faults(case).items():
            if (frames := inject(case)) is not None:
                found.setdefault(code, []).append(code in {check.code for check in CRAFTER.check(case, frames)})
    assert len(found) >= 12
    assert all(sum(caught) >= 0.8 * len(caught) for caught in found.values()), found


def test_frames_are_read_without_their_spec(specs: list[CrafterSpec]) -> None:
    for spec in specs[:3]:
        episode = simulate(spec)
        found = CRAFTER.sight(draw(episode.scenes, spec.width, spec.height))
        assert np.array_equal(found.cells, episode.scenes.materials)
        assert np.array_equal(found.counters, episode.scenes.inventory)
        assert np.array_equal(found.positions, episode.positions - episode.positions[0])
        assert found.player.all() and found.residual.max() < 8  # levels: light is found in steps of a tenth
        assert np.array_equal(found.gains, found.explained)
    noise = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    assert CRAFTER.sight(noise).residual.mean() > 40


def test_a_gain_without_a_cause_is_told(specs: list[CrafterSpec]) -> None:
    scenes = simulate(specs[0]).scenes.at(np.array([0, 0, 0]))
    scenes.inventory[2:, ITEMS.index("diamond")] += 1
    found = CRAFTER.sight(draw(scenes, specs[0].width, specs[0].height))
    assert found.gains.tolist() == [0, 0, 1] and found.explained.tolist() == [0, 0, 0]
