"""A text -> a decision: allowed, noted or refused, with the rule that decided and what to change.

The rules and categories are data (rules.toml). `--policy FILE` changes them: the action of a category, the threshold of
the classifier, phrases that are always refused or allowed, what is done with near copies of training clips. Refusing is
stronger than allowing only where both are not about the same phrase: that contradiction is an error.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from chronotope.errors import ChronotopeError, UsageError, suggest
from chronotope.media.files import reason
from chronotope.safety.action import ACTIONS, Action
from chronotope.safety.audit import record
from chronotope.safety.guarded import LAYER_SECONDS, within
from chronotope.safety.output.rules import NO_RULES, OutputRules, read_output_rules
from chronotope.safety.policy import classifier
from chronotope.safety.policy.near_copies import NEAR_COPIES, CopyRule, read_copy_rule
from chronotope.safety.policy.text import plain_forms, spelled_letters, words_of
from chronotope.safety.policy.uploads import DEFAULT_UPLOADS, UploadRules, read_upload_rules
from chronotope.storage import read_toml

__all__ = ["NO_POLICY", "Decision", "Policy", "RefusedError", "default_policy", "read_policy"]

RULES = Path(__file__).with_name("rules.toml")
MOST_BYTES = 2**20
IDEOGRAPHS = 0x2E80  # scripts from here on write no spaces between words
ALWAYS_REFUSED = ("child-safety",)
LONG_WORD = 4  # letters, from which on swapped ones are put right
FIELDS = ("name", "threshold", "actions", "refuse", "allow", "output", "uploads", "near_copies")


class RefusedError(ChronotopeError):
    """The policy refuses a text; `decision` says by which rule. Its exit status is that of a request to be changed."""

    exit_code = 2

    def __init__(self, message: str, decision: Decision) -> None:
        super().__init__(message)
        self.decision = decision


@dataclass(frozen=True)
class Rule:
    """A rule holds for a text that has a phrase of each of its groups."""

    id: str
    category: str
    groups: tuple[re.Pattern[str], ...]
    spelled: tuple[re.Pattern[str], ...] = ()  # the same in letters without spaces between words

    def holds(self, forms: Iterable[str], letters: str) -> bool:
        """Return whether the rule holds for a form of a text, or for letters that it spells out one by one."""
        if letters and self.spelled and all(group.search(letters) for group in self.spelled):
            return True
        return any(all(group.search(form) for group in self.groups) for form in forms)


@dataclass(frozen=True)
class Decision:
    """What was decided of a text, by which rule (or the classifier), with which score."""

    text: str  # which text of a request: typed, prompt
    action: Action
    category: str = ""
    rule: str = ""
    score: float = 0.0  # of the classifier, for the category that is most likely


@dataclass(frozen=True)
class Policy:
    """Rules, the action of each category, and the threshold of the classifier; `hash` names all of it."""

    name: str
    version: str
    threshold: float
    rules: tuple[Rule, ...]
    advice: Mapping[str, str]
    actions: Mapping[str, Action]
    allowed: tuple[re.Pattern[str], ...] = ()
    hash: str = ""
    swapped: Mapping[str, str] = field(default_factory=dict)  # words with two letters swapped -> the right ones
    output: OutputRules = NO_RULES  # of frames
    uploads: UploadRules = DEFAULT_UPLOADS  # of files that users give
    near_copies: CopyRule = field(default_factory=CopyRule)
    off: bool = False  # nothing is decided, and the file says so

    def decide(self, text: str, which: str = "prompt") -> Decision:
        """Decide of one text. Raises what a missing part of the policy raises."""
        forms, letters = plain_forms(text), spelled_letters(text)
        forms = (*forms, *{self._untyped(form) for form in forms} - set(forms))
        for pattern in self.allowed:  # only these words are spared, and not what stands beside them
            forms = tuple(" ".join(pattern.sub(" ", form).split()) for form in forms)
        found = [rule for rule in self.rules if rule.holds(forms, letters)]
        scored = {name: max(values) for name, values in _joined(map(classifier.scores, forms)).items()}
        likely = max(scored, key=lambda name: scored[name])
        decisions = [
            Decision(which, self.actions[rule.category], rule.category, rule.id, scored.get(rule.category, 0))
            for rule in found
        ]
        if scored[likely] >= self.threshold:
            decisions.append(Decision(which, self.actions[likely], likely, "classifier", scored[likely]))
        decisions.append(Decision(which, "allow", likely, "", scored[likely]))
        return max(decisions, key=lambda one: ACTIONS.index(one.action))

    def _untyped(self, form: str) -> str:
        """Undo swapped letters of words that rules name."""
        return " ".join(self.swapped.get(word, word) for word in form.split())

    def check(self, texts: Mapping[str, str]) -> dict[str, Any]:
        """Decide of every text; return what the sidecar says of it. Raises `RefusedError`, after it was recorded.

        A policy that cannot be applied refuses, too.
        """
        decisions: list[dict[str, Any]] = []
        for which, text in () if self.off else texts.items():
            decision = self._decide_safely(text, which)
            if decision.action == "refuse":
                self._refuse(text, decision)
            decisions.append({**asdict(decision), "score": round(decision.score, 4)})
        return {"name": self.name, "version": self.version, "hash": self.hash, "decisions": decisions}

    def refusal(self, texts: Mapping[str, str]) -> str:
        """Return the words in which `check` would refuse texts, the empty text where it allows them; record nothing."""
        decisions = [] if self.off else [self._decide_safely(text, which) for which, text in texts.items()]
        return next((self._reason(one) for one in decisions if one.action == "refuse"), "")

    def decide_copy(self, distance: float, is_copy: bool) -> dict[str, Any]:
        """Decide of a video by its distance to the nearest training clip; return what the sidecar says of it.

        Raises `RefusedError`, after it was recorded, for a copy that is refused.
        """
        action = self.near_copies.action if is_copy else "allow"
        decision = Decision("video", action, rule=NEAR_COPIES, score=distance)
        if action == "refuse":
            self._refuse_video(decision, "it is nearly a copy of a training clip; give another seed or prompt")
        return {**asdict(decision), "name": self.name, "version": self.version, "hash": self.hash}

    def refuse_uncompared(self, why: str) -> NoReturn:
        """Refuse a video that cannot be compared with the training clips, as the policy requires."""
        self._refuse_video(
            Decision("video", "refuse", rule=NEAR_COPIES),
            f"every video must be compared with all clips that trained its model, and {why}, or set required = false "
            "in [near_copies] of the policy",
        )

    def _refuse_video(self, decision: Decision, why: str) -> NoReturn:
        record({"event": "refused", **asdict(decision), "reason": why, "policy": self.hash})
        about = f"by the rule '{decision.rule}' of the policy '{self.name}' ({self.version})"
        raise RefusedError(f"the video is refused {about}: {why}", decision)

    def _decide_safely(self, text: str, which: str) -> Decision:
        """Decide of one text; a policy that fails refuses it."""
        try:
            return within(LAYER_SECONDS, lambda: self.decide(text, which))
        except Exception as problem:
            return Decision(which, "refuse", rule=f"the policy failed: {reason(problem)}")

    def _reason(self, decision: Decision) -> str:
        advice = self.advice.get(decision.category, "mend the policy, or name another one with --policy")
        about = f" for {decision.category}" if decision.category else ""
        return (
            f"the {decision.text} is refused{about} by the rule '{decision.rule}' of the policy '{self.name}' "
            f"({self.version}); {advice}"
        )

    def _refuse(self, text: str, decision: Decision) -> None:
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        version = {"policy": self.hash, "version": self.version}
        record({"event": "refused", **asdict(decision), "sha256": digest, **version})
        raise RefusedError(self._reason(decision), decision)


NO_POLICY = Policy(
    "none", "", 1.0, (), {}, {}, uploads=UploadRules("allow", "allow"), near_copies=CopyRule("allow"), off=True
)


@cache
def default_policy() -> Policy:
    """Return the policy of the package."""
    return _policy({}, RULES.parent)


def read_policy(path: Path) -> Policy:
    """Return the policy of the package as a file of the user's changes it; raise UsageError for what cannot hold."""
    changes = read_toml(path, MOST_BYTES)
    try:
        return _policy(changes, path.parent)
    except UsageError as problem:
        raise UsageError(f"{path}: {problem}") from None


def _policy(changes: Mapping[str, Any], folder: Path) -> Policy:
    content = read_toml(RULES, MOST_BYTES)
    for name in changes:
        if name not in FIELDS:
            raise UsageError(f"unknown field '{name}'. {suggest(name, FIELDS)}")
    categories = content["category"]
    actions: dict[str, Action] = dict.fromkeys(categories, "refuse")
    for name, action in _table(changes, "actions").items():
        if name not in categories:
            raise UsageError(f"unknown category '{name}'. {suggest(name, categories)}")
        if name in ALWAYS_REFUSED:
            raise UsageError(f"{name} is refused by every policy; leave it out")
        if action not in ACTIONS:
            raise UsageError(f"the action of {name} is {action!r}; it must be one of {', '.join(ACTIONS)}")
        actions[name] = action
    threshold = changes.get("threshold", content["threshold"])
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 < threshold <= 1:
        raise UsageError(f"the threshold of the classifier is {threshold!r}; it lies above 0 and is at most 1")
    refused, allowed = (_phrases(changes, name) for name in ("refuse", "allow"))
    for phrase in allowed:
        if opposite := next(
            (one for one in refused if f" {one} " in f" {phrase} " or f" {phrase} " in f" {one} "), None
        ):
            raise UsageError(f"it contradicts itself: '{phrase}' is allowed and '{opposite}' refused; keep one of them")
    rules = [
        Rule(row["id"], row["category"], tuple(map(_group, row["all"])), tuple(map(_spelled, row["all"])))
        for row in content["rule"]
    ]
    rules += [Rule(f"refuse: {phrase}", "own", (_group(phrase),)) for phrase in refused]
    digest = hashlib.sha256(
        RULES.read_bytes()
        + classifier.WEIGHTS.read_bytes()
        + json.dumps(dict(changes), sort_keys=True, default=str).encode()
    )
    return Policy(
        str(changes.get("name", "default" if not changes else "changed")),
        str(content["version"]),
        float(threshold),
        tuple(rules),
        {**{name: about["advice"] for name, about in categories.items()}, "own": "say it without these words"},
        {**actions, "own": "refuse"},
        tuple(map(_group, allowed)),
        digest.hexdigest()[:16],
        _swapped(word for row in content["rule"] for group in row["all"] for word in words_of(group)),
        read_output_rules(changes.get("output", content.get("output", {})), folder),
        read_upload_rules(changes.get("uploads", content.get("uploads", {}))),
        near_copies=read_copy_rule(changes.get("near_copies", {})),
    )


def _table(changes: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = changes.get(name, {})
    if not isinstance(found, dict):
        raise UsageError(f'{name} must be a table of categories, such as violence = "note"')
    return found


def _phrases(changes: Mapping[str, Any], name: str) -> list[str]:
    found = changes.get(name, [])
    if not isinstance(found, list) or not all(isinstance(one, str) and words_of(one) for one in found):
        raise UsageError(f"{name} must be a list of phrases")
    return [plain_forms(one)[0] for one in found]


def _group(alternatives: str) -> re.Pattern[str]:
    """Compile phrases that are separated by "|"; a word that ends in "*" stands for all that begin with it."""
    phrases = [phrase.strip() for phrase in alternatives.split("|")]
    return re.compile("|".join(map(_phrase, sorted(phrases, key=len, reverse=True))))


def _spelled(alternatives: str) -> re.Pattern[str]:
    """Compile phrases of at least three letters without their spaces."""
    phrases = ["".join(words_of(phrase)) for phrase in alternatives.split("|")]
    return re.compile("|".join(re.escape(phrase) for phrase in phrases if len(phrase) >= 3) or r"(?!)")


def _swapped(words: Iterable[str]) -> dict[str, str]:
    """Return every word with two neighbouring letters inside it swapped, with the word; words that are both stay."""
    known = {word for word in words if word.isascii() and len(word) >= LONG_WORD}
    found = {
        word[:at] + word[at + 1] + word[at] + word[at + 2 :]: word for word in known for at in range(1, len(word) - 2)
    }
    return {wrong: word for wrong, word in found.items() if wrong not in known}


def _phrase(phrase: str) -> str:
    words = r" ".join(
        re.escape(word[:-1]) + r"\w*" if word.endswith("*") else re.escape(word) for word in phrase.split()
    )
    has_spaces = all(ord(letter) < IDEOGRAPHS for letter in phrase)
    return rf"(?<!\w){words}(?!\w)" if has_spaces else words


def _joined(found: Iterable[Mapping[str, float]]) -> dict[str, list[float]]:
    joined: dict[str, list[float]] = {}
    for scores in found:
        for name, score in scores.items():
            joined.setdefault(name, []).append(score)
    return joined
