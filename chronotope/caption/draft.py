"""The scene of a prompt as far as it was read: its things and deeds, and what the present clause is about."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any

from chronotope.caption.scene import Camera, Deed, Relation, Thing
from chronotope.caption.words.lexicon import Lexicon, Meaning

__all__ = ["TRANSITIVE", "Draft"]

TRANSITIVE = ("eat", "meet", "hit", "push")


class Draft:
    """What was read of one prompt; `known` are the words of the captions that the model was taught."""

    def __init__(self, lexicon: Lexicon, known: Collection[str]) -> None:
        self.lexicon, self.known = lexicon, known
        self.things: list[Thing] = []
        self.deeds: list[Deed] = []
        self.relations: list[Relation] = []
        self.absent: list[Thing] = []
        self.read: list[tuple[str, str]] = []
        self.unread: list[str] = []
        self.alike: list[tuple[str, str]] = []
        self.place, self.bare = "", False
        self.hard = False  # whether something was said that is not read here, such as "is eaten by"
        self.camera: Camera | None = None
        self._surface = False  # whether this sentence has a background that has no colour yet
        self._subjects: list[int] = []
        self._targets: list[int] = []
        self._last: int | None = None  # the thing that was named last
        self._direction = ""
        self._later = False
        self._start_clause()
        self._forget_adjectives()

    def _start_clause(self) -> None:
        """Forget what belongs to one clause only; a direction without a verb is one of a movement."""
        if self._direction and self._subjects and self._deed is None:
            self.deeds += [Deed(subject, self._gait(subject), "", self._direction) for subject in self._subjects]
        self._filming = False
        self._negated = ""  # the word that denies what follows
        self._said_place = ""
        self._relation = ""
        self._link = ""
        self._direction = ""
        self._before_noun: list[Meaning] = []
        self._deed: int | None = None
        self._joined = False
        self._listed = False  # whether the subjects are joined by commas alone
        self._side = ""
        self._front: tuple[str, int] | None = None  # 'in front of the tree', before its subject
        self._absent = False  # whether what was named last shall not be there
        self._behind = ""  # "on" or "of", with adjectives alone behind it

    def _forget_adjectives(self) -> None:
        self._colour = self._size = self._count = ""
        self._definite = self._determined = False
        self._strange: list[str] = []

    def _gait(self, subject: int) -> str:
        """Return the verb for a thing of which only the direction is said."""
        return "drive" if self.things[subject].noun in self.lexicon.near["vehicle"] else "move"

    def _change_subjects(self, **changes: Any) -> None:
        for index in self._subjects:
            self.things[index] = dataclasses.replace(self.things[index], **changes)

    def _current_deeds(self) -> list[int]:
        """Return the deeds of all subjects that share the last verb."""
        if self._deed is None:
            return []
        verb, count = self.deeds[self._deed].verb, len(self._subjects)
        last = range(max(0, self._deed + 1 - count), self._deed + 1)
        return [index for index in last if self.deeds[index].verb == verb and self.deeds[index].actor in self._subjects]

    def _through_the_edge(self, verb: str) -> None:
        """Make the last deeds a leaving or an entering."""
        for index in self._current_deeds():
            self.deeds[index] = dataclasses.replace(self.deeds[index], verb=verb, said=verb)

    def _passes(self) -> bool:
        """Let what is named next be what a subject that moves already passes; return whether it does."""
        last = len(self.deeds) - 1
        if (
            last < 0
            or self._later
            or self.deeds[last].target is not None
            or self.deeds[last].actor not in self._subjects
        ):
            return False
        self._deed, self._relation, self._joined = last, "past", False
        return True

    def _known_thing(self, thing: Thing) -> int | None:
        for index, other in enumerate(self.things):
            if other.noun == thing.noun and thing.colour in ("", other.colour):
                return index
        return None

    def _connect(self, index: int) -> None:
        """Make a thing the target of the last deed, the other side of a relation, or a subject."""
        deed = self.deeds[self._deed] if self._deed is not None else None
        aimed = deed is not None and index != deed.actor
        if self._front is not None:
            how, anchor = self._front
            self.relations.append(Relation(index, how, anchor))
            self._front, self._subjects, self._deed = None, [index], None
        elif self._relation and deed is None and (not self._subjects or self._joined):
            self._front = self._relation, index  # 'in front of the tree a cat': its subject follows
        elif aimed and self._relation in ("past", "behind", "in front of"):
            self._aim(index, self._relation)
        elif deed is not None and aimed and deed.target is None and self._is_target(deed):
            self._aim(index, self._link if deed.verb not in TRANSITIVE else "")
        elif self._relation and self._subjects:
            self.relations.append(Relation(self._subjects[-1], self._relation, index))
        elif self._joined and self._deed is None and self._subjects:
            self._subjects.append(index)
        else:
            self._subjects, self._deed = [index], None
        self._relation, self._link, self._joined = "", "", False

    def _is_target(self, deed: Deed) -> bool:
        return (deed.verb in TRANSITIVE or bool(self._link)) and not self._joined

    def _aim(self, target: int, relation: str) -> None:
        self._targets.append(target)
        for index in self._current_deeds() or ([self._deed] if self._deed is not None else []):
            self.deeds[index] = dataclasses.replace(self.deeds[index], relation=relation, target=target)

    def _remove(self, index: int) -> Thing:
        """Take back a thing that a later word says is not there."""
        thing = self.things.pop(index)
        self.deeds = [deed for deed in self.deeds if deed.actor != index]
        self._subjects = [subject for subject in self._subjects if subject != index]
        return thing
