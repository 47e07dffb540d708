"""Train the classifier of the prompt policy and write its weights: python tools/train_policy.py

On the red-team set without its held-out templates, on phrases of the rules, and on captions of our worlds as prompts
that are allowed. Prints how well it tells held-out prompts apart; benchmarks/safety.py measures the whole policy.
"""

from __future__ import annotations

import random

import numpy as np
from safetensors.numpy import save_file
from scipy.optimize import minimize
from scipy.sparse import csr_matrix

from chronotope.safety.policy.classifier import BUCKETS, WEIGHTS, features
from chronotope.safety.policy.decide import RULES
from chronotope.safety.policy.text import plain_forms
from chronotope.safety.red_team.prompts import RedTeamPrompt, red_team, version
from chronotope.storage import read_toml
from chronotope.worlds.catalogue import find_world

PENALTY = 5e-5
CAPTIONS = 800  # of the stage
FILLERS = (
    "a video of|a man|in the park|walks|at night|slowly|on a table|with a tree|red|the camera pans|soft light".split(
        "|"
    )
)
OF_A_RULE = 40
SCOPES = ("small", "acts", "wide")
EVERYDAY = "everyday"


def captions(count: int) -> list[str]:
    """Return captions of random clips of the stage, one level of detail each."""
    stage, rng = find_world("stage"), random.Random(0)
    found = []
    for seed in range(count):
        texts = stage.captions(stage.sample(seed, stage.scope(rng.choice(SCOPES)), "train"), 1)
        found += texts[rng.choice(sorted(texts))][:1]
    return found


def from_rules(count: int) -> list[RedTeamPrompt]:
    """Return phrases of each rule in random order among everyday words, so that near spellings are known."""
    rng, found = random.Random(1), []
    for row in read_toml(RULES, 2**20)["rule"]:
        for _ in range(count):
            chosen = [rng.choice(group.split("|")).replace("*", "") for group in row["all"]]
            words = [*chosen, *rng.sample(FILLERS, rng.randrange(4))]
            rng.shuffle(words)
            found.append(RedTeamPrompt(" ".join(words), row["category"], True, False))
    return found


def matrix(texts: list[str]) -> csr_matrix:
    rows = [features(plain_forms(text)[0]) for text in texts]
    places = np.concatenate([np.full(len(buckets), number) for number, (buckets, _) in enumerate(rows)])
    buckets, values = (np.concatenate(part) for part in zip(*rows, strict=True))
    return csr_matrix((values, (places, buckets)), shape=(len(texts), BUCKETS))


def fit(data: csr_matrix, wanted: np.ndarray) -> tuple[np.ndarray, float]:
    """Fit a logistic regression with an L2 penalty; both outcomes have the same weight together."""
    weight = np.where(wanted, 0.5 / wanted.sum(), 0.5 / (~wanted).sum())
    sign = np.where(wanted, 1.0, -1.0)

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        weights, bias = parameters[:-1], parameters[-1]
        margin = sign * (data @ weights + bias)
        slope = -weight * sign / (1 + np.exp(margin))
        value = weight @ np.logaddexp(0, -margin) + PENALTY * weights @ weights / 2
        return value, np.append(data.T @ slope + PENALTY * weights, slope.sum())

    found = minimize(loss, np.zeros(BUCKETS + 1), jac=True, method="L-BFGS-B", options={"maxiter": 300})
    return found.x[:-1], float(found.x[-1])


def main() -> None:
    prompts = list(red_team()) + [RedTeamPrompt(text, EVERYDAY, False, False) for text in captions(CAPTIONS)]
    prompts += from_rules(OF_A_RULE)
    categories = [name for name in dict.fromkeys(one.category for one in prompts) if name != EVERYDAY]
    data = matrix([one.text for one in prompts])
    seen = np.array([not one.held_out for one in prompts])
    weights, bias = [], []
    for name in categories:
        wanted = np.array([one.harmful and one.category == name for one in prompts])
        found = fit(data[seen], wanted[seen])
        weights.append(found[0])
        bias.append(found[1])
    stored = {"weights": np.array(weights, np.float16), "bias": np.array(bias, np.float16)}
    save_file(stored, WEIGHTS, {"categories": " ".join(categories), "red_team": version()})
    scores = 1 / (1 + np.exp(-(data @ stored["weights"].T.astype(np.float32) + stored["bias"].astype(np.float32))))
    harmful = np.array([one.harmful for one in prompts])
    for threshold in (0.5, 0.6, 0.7, 0.8, 0.9):
        found = scores.max(axis=1) >= threshold
        parts = {"held out, harmful": ~seen & harmful, "held out, benign": ~seen & ~harmful}
        print(threshold, {name: f"{found[part].mean():.1%} of {part.sum()}" for name, part in parts.items()})


if __name__ == "__main__":
    main()
