"""A prompt in anybody's words -> the facts in it, read from left to right by the places of words in a sentence."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from chronotope.caption.draft import TRANSITIVE, Draft
from chronotope.caption.scene import Camera, Deed, Relation, Scene, Thing
from chronotope.caption.words import grammar
from chronotope.caption.words.lexicon import MAX_PHRASE, Meaning

__all__ = ["Parser"]

_AFTER = ("and", "from", "then", "to", "while")  # what 'walks in' can stand before
_DENY_NOUNS = ("no", "without", "or", "avoid", "exclude", "omit")
_SOURCES = {"from left": "right", "from right": "left", "from up": "down", "from down": "up"}


class Parser(Draft):
    """Reads one prompt; `known` are the words of the captions that the model was taught."""

    def parse(self, tokens: Sequence[str]) -> Scene:
        """Read all tokens."""
        at = 0
        while at < len(tokens):
            at += self._step(tokens, at)
        self._start_clause()
        return Scene(
            tuple(self.things), tuple(self.deeds), tuple(self.relations), self.place, self.camera, tuple(self.absent),
            tuple(dict.fromkeys(self.read)), tuple(dict.fromkeys(self.unread)), tuple(dict.fromkeys(self.alike)),
            self.bare, self.hard,
        )  # fmt: skip

    # Clauses

    # Steps

    def _step(self, tokens: Sequence[str], at: int) -> int:
        """Read what begins at one token; return how many tokens it has."""
        for length in range(min(MAX_PHRASE, len(tokens) - at), 0, -1):
            phrase = " ".join(tokens[at : at + length])
            for step in (self._small_words, self._by_table):
                if step(phrase, tokens[at + length : at + length + 4], tokens[at - 1] if at else ""):
                    return length
        self._strange_word(tokens[at], tokens[at + 1 : at + 4])
        return 1

    def _small_words(self, phrase: str, after: Sequence[str], before: str) -> bool:
        """Read a phrase of the grammar; return whether it is one."""
        steps: tuple[Callable[[str, Sequence[str], str], bool], ...] = (
            self._mark, self._camera_word, self._negation, self._where, self._quantity, self._order,
        )  # fmt: skip
        if phrase in ("or", "nor") and self._absent:  # 'without birds or planes'
            self._negated = phrase
            return True
        if self._is_hard(phrase, after):
            self.hard = True
        if phrase in ("on", "upon", "against", "of"):
            self._behind = "of" if phrase == "of" else "on"
        if self._relative(phrase, after, before) or any(step(phrase, after, before) for step in steps):
            return True
        if phrase in grammar.TOWARDS and self._deed is not None:
            self._link = "into" if phrase in ("into", "against") else "toward"
            return True
        if phrase in grammar.BACKGROUNDS:
            self._background(phrase, before)
            return True
        if phrase in grammar.STILL:
            self._joined = False
            return True
        return phrase in grammar.IGNORED

    def _is_hard(self, phrase: str, after: Sequence[str]) -> bool:
        """Return whether what begins here is not read: 'never', or 'is eaten by', whose subject is named last."""
        if phrase == "until":
            return any(meaning.kind == "verb" for word in after for meaning in self.lexicon.find(word))
        passive = phrase in ("is", "are", "gets", "was") and len(after) > 1 and after[1] == "by"
        return passive or phrase in grammar.HARD

    def _background(self, phrase: str, before: str) -> None:
        """Read 'background' or 'canvas'; where no colour stands before it, one may follow."""
        if not self.place or before not in (self.place, self._said_place):
            self._surface = not self.place
            self.unread += [] if phrase in self.known else [phrase]
            self._finish_noun()

    def _relative(self, phrase: str, after: Sequence[str], before: str) -> bool:
        """Read 'that walks left', whose subject is what was named last."""
        next_word = next((word for word in after if word not in grammar.IGNORED or word in grammar.STILL), "")
        verb = next_word in grammar.STILL or any(m.kind == "verb" for m in self.lexicon.find(next_word))
        verb = verb or (self._is_strange(next_word) and next_word.endswith("s"))  # 'that likes a ball'
        if self._last is None or not (phrase in ("which", "who") or (phrase == "that" and verb)):
            return False
        self._filming, self._joined, self._relation, self._link = False, False, "", ""
        self._subjects, self._deed = [self._last], None
        return True

    def _mark(self, phrase: str, after: Sequence[str], before: str) -> bool:
        if phrase in (".", ";", "!", "?", "\n", ":", "while", "as"):
            self._finish_noun()
            subjects = self._subjects
            self._start_clause()
            self._surface = self._surface and phrase not in (".", "!", "?")
            self._subjects = subjects if phrase != "while" else []
            return True
        if phrase == ",":
            self._finish_noun()
            self._negated, self._behind, self._filming = "", "", False
            self._joined = self._listed = True
            self._relation = ""
            return True
        if phrase == "and":
            self._joined, self._listed = True, False
            return True
        return False

    def _order(self, phrase: str, after: Sequence[str], before: str) -> bool:
        if phrase not in grammar.THEN:
            return False
        self._joined, self._relation, self._later = False, "", True
        return True

    def _quantity(self, phrase: str, after: Sequence[str], before: str) -> bool:
        if phrase in grammar.PRONOUNS:
            self._refer()
            return True
        if phrase in grammar.DETERMINERS:
            self._determined = True
            self._definite = phrase not in ("a", "an", "some", "another")
            return True
        if phrase in grammar.SIZES and self._noun_follows(after):
            self._size = self._put(phrase, grammar.SIZES[phrase])
            return True
        if phrase in grammar.COUNTS:
            word = grammar.COUNTS[phrase]
            if not self._noun_follows(after) and len(self._subjects) == 1 and not self._filming:  # 'comes to three'
                self._change_subjects(count="" if word == "one" else word, plural=False)
            else:
                self._count, self._determined = ("" if word == "one" else word), True
            return True
        return False

    def _refer(self) -> None:
        """Take a pronoun for the target of a deed that wants one, else for the subject."""
        deed = self.deeds[self._deed] if self._deed is not None else None
        if deed is not None and deed.target is None and deed.verb in TRANSITIVE:
            others = [index for index in self._targets if index != deed.actor]
            if others:
                self._aim(others[-1], "")
        self._joined = False

    def _negation(self, phrase: str, after: Sequence[str], before: str) -> bool:
        if phrase in grammar.NOT_THERE and self._subjects:
            for index in sorted(self._subjects[-1:], reverse=True):
                self.absent.append(self._remove(index))
            return True
        if phrase not in grammar.NOT:
            return False
        self._negated = phrase
        following = [m.kind for m in self.lexicon.find(after[0])] if after else []
        if not after or "verb" in following or after[0] in grammar.COUNTS or after[0] in grammar.DIRECTIONS:
            self.hard = True  # 'does not walk', 'not two'
        return True

    def _where(self, phrase: str, after: Sequence[str], before: str) -> bool:
        if phrase in grammar.RELATIONS:
            self._relation = grammar.RELATIONS[phrase]
            return True
        if phrase in grammar.OUT or phrase in grammar.INTO:
            self._through_the_edge("leave" if phrase in grammar.OUT else "enter")
            return True
        if phrase in grammar.SIDES:
            self._at_side(grammar.SIDES[phrase], phrase, before)
            return True
        if phrase == "left" and self._means_leaving(after, before):
            return False
        if phrase in ("up", "down", "left", "right") and after and after[0] in grammar.DETERMINERS:
            return phrase in ("up", "down")  # 'down a road'
        if phrase in grammar.DIRECTIONS and not self._filming:
            self._toward(grammar.DIRECTIONS[phrase], phrase)
            return True
        return False

    def _means_leaving(self, after: Sequence[str], before: str) -> bool:
        """Return whether 'left' is of 'leave': it follows 'has', or a noun, and what is left follows it."""
        if before in ("has", "have", "had", "already"):
            return True
        return self._deed is None and bool(self._subjects) and bool(after) and after[0] in ("the", "his", "its", "home")

    def _at_side(self, side: str, phrase: str, before: str) -> None:
        if self._absent:
            self.unread.append(phrase)
        elif side in _SOURCES:
            self._direction = _SOURCES[side]
            if self._deed is not None and not self.deeds[self._deed].direction:
                self.deeds[self._deed] = dataclasses.replace(self.deeds[self._deed], direction=_SOURCES[side])
        elif before in ("", ",", ";", ".", "and") or not self._subjects:
            self._side = side  # of what is named next
        elif self._subjects:
            last = self._subjects[-1]
            self.things[last] = dataclasses.replace(self.things[last], side=side)

    def _toward(self, direction: str, phrase: str) -> None:
        if phrase in ("to its left", "to its right") and len(self.things) > 1:
            # 'X has Y to its left': Y is on the left of X
            self.relations.append(Relation(len(self.things) - 1, f"to the {direction} of", len(self.things) - 2))
        elif self._deed is None:
            self._direction = direction
        elif self.deeds[self._deed].direction:
            self.unread += [phrase] if self.deeds[self._deed].direction != direction else []
        else:
            for index in self._current_deeds():
                self.deeds[index] = dataclasses.replace(self.deeds[index], direction=direction)

    # The camera

    def _camera_word(self, phrase: str, after: Sequence[str], before: str) -> bool:
        if phrase in grammar.CAMERA:
            if self.camera is not None and not self._filming:
                self.unread.append(f"camera {self.camera.kind} {self.camera.direction}".strip())
            self._filming, self._determined = True, False
            self._joined = False
            if phrase.startswith("pan"):
                self.camera = Camera("pan")
            return True
        if not self._filming:
            return False
        if phrase in grammar.ZOOMS and (self.camera is None or self.camera.kind != "zoom"):
            self.camera = Camera("zoom", grammar.ZOOMS[phrase])
            return True
        if self.camera is not None and phrase != "in" and grammar.ZOOMS.get(phrase) == self.camera.direction:
            return True
        if phrase in grammar.DIRECTIONS:
            self.camera = Camera("pan", grammar.DIRECTIONS[phrase])
            return True
        if phrase in ("follows", "following", "follow", "tracks", "tracking"):
            if self.camera is not None:
                self.unread.append(f"camera {self.camera.kind} {self.camera.direction}".strip())
            self.camera = Camera("follow")
            return True
        return any(meaning.kind == "verb" for meaning in self.lexicon.find(phrase)) or phrase in ("on", "of", "draw")

    # Words of the table

    def _by_table(self, phrase: str, after: Sequence[str], before: str) -> bool:
        if phrase.endswith(" in") and after and after[0].isalnum() and after[0] not in _AFTER:
            return False  # 'walks in the snow'
        meanings = {meaning.kind: meaning for meaning in reversed(self.lexicon.find(phrase))}
        if not meanings:
            return False
        verb, noun = meanings.get("verb"), meanings.get("noun") or meanings.get("alike")
        if verb and verb.manner and phrase.endswith(" out") and after[:1] == ["of"]:
            return False  # 'slides out of the frame'
        thing = self._determined and phrase not in self.known  # 'a lime bounces'
        if "colour" in meanings and (self._noun_follows(after) or not (noun or thing)):
            self._found_colour(phrase, meanings["colour"].word, after, before)
            return True
        if "place" in meanings and not (noun and self._determined and self._relation):
            self._found_place(phrase, meanings["place"].word)
            return True
        if verb and (not noun or self._verb_stands_here(verb, after)):
            self._found_verb(phrase, verb)
            return True
        if noun:
            self._found_noun(phrase, noun)
            return True
        return False

    def _found_colour(self, phrase: str, word: str, after: Sequence[str], before: str) -> None:
        """Keep a colour for the noun or the background that follows, or give it to the subject of 'is'."""
        if after and after[0] in grammar.BACKGROUNDS:
            self.place, self._said_place = self._put(phrase, word), phrase.split()[-1]
            self._determined = False
        elif self._noun_follows(after):
            self._colour = self._put(phrase, word)
        elif before in ("is", "are") and self._subjects:
            self._change_subjects(colour=self._put(phrase, word))
        elif self._negated or (after and self._is_strange(after[0])):
            self.unread.append(phrase)
        elif (self._behind == "on" or self._surface) and not self.place:
            self.place, self._determined = self._put(phrase, word), False
        elif self._last is not None and not self.things[self._last].colour:  # 'a fox, red', 'of the purest white'
            self.things[self._last] = dataclasses.replace(self.things[self._last], colour=self._put(phrase, word))
            self._forget_adjectives()
        else:
            self.unread.append(phrase)

    def _verb_stands_here(self, verb: Meaning, after: Sequence[str]) -> bool:
        """Return whether a word that is a noun and a verb is a verb here: no article before it, but a subject."""
        if self._determined or self._colour or self._size:
            return False
        return bool(self._subjects) and not self._joined

    def _put(self, said: str, word: str) -> str:
        """Note that a word of captions stands for what was said."""
        if said != word:
            self.read.append((said, word))
        self.alike += [] if word in self.known or self._negated else [(word, word)]
        return word

    def _found_place(self, phrase: str, word: str) -> None:
        if self._negated:
            self.absent.append(Thing(phrase if phrase in self.known else word))
            self._negated, self._absent = "", True
        elif self.place and self.place != word:
            self.unread.append(phrase)
        else:
            self.place = self._put(phrase, word)
        self._forget_adjectives()
        self._relation = self._behind = ""
        self._joined = False

    def _found_verb(self, phrase: str, verb: Meaning) -> None:
        if verb.base != verb.word:
            self.read.append((phrase, verb.word))
        if not self._subjects and verb.form == "past":  # 'half hidden behind a house, a cat'
            self.unread.append(phrase)
            return
        if not self._subjects or (self._determined and verb.form == "ing"):
            self._before_noun.append(verb)
            return
        if verb.direction == "past" and self._passes():
            return
        self._deed = None
        if len(self._subjects) > 1 and (self._listed or verb.form == "s"):  # 'a ball, a cat runs'
            self._subjects = self._subjects[-1:]
        direction = "" if verb.direction == "past" else verb.direction
        for subject in self._subjects:
            deed = Deed(subject, verb.word, verb.base, self._direction or direction, later=self._later)
            self.deeds.append(dataclasses.replace(deed, manner=verb.manner))
            self._deed = len(self.deeds) - 1
        self._direction, self._joined, self._later, self._behind = "", False, False, ""
        self._relation = "past" if verb.direction == "past" else ""

    def _found_noun(self, phrase: str, noun: Meaning) -> None:
        word = noun.word
        if noun.kind == "alike":
            word = self.lexicon.singular(phrase) if noun.plural else phrase
            self.alike.append((phrase, noun.word))
        elif word not in self.known and not set(word.split()) <= set(self.known):
            other = self.lexicon.kinds.get(word, "")
            if other in self.known:
                word = other
            else:
                self.alike.append((phrase, word))
                word = word if noun.plural else phrase
        if word != phrase and not noun.plural:
            self.read.append((phrase, word))
        self._add(Thing(word, self._colour, self._size, self._count, plural=noun.plural))

    def _add(self, thing: Thing) -> None:
        """Take a noun phrase for a new thing, a known one, what shall not be there, or the target of a deed."""
        definite, determined, verbs = self._definite, self._determined, self._before_noun
        self._before_noun = []
        for word in self._strange:
            self.unread.append(word)
        self._forget_adjectives()
        if self._negated:
            self.absent.append(thing)
            self._negated, self._absent = self._negated if self._joined else "", True
            return
        if self._side:
            thing, self._side = dataclasses.replace(thing, side=self._side), ""
        if not determined and not thing.plural:
            self.bare = True
        index = self._known_thing(thing) if definite else None
        if index is None:
            index = len(self.things)
            self.things.append(thing)
        self._last, self._absent, self._behind = index, False, ""
        if self._filming and self.camera:
            self.camera = dataclasses.replace(self.camera, target=index)
            return
        self._connect(index)
        for verb in verbs:
            self.deeds.append(Deed(index, verb.word, verb.base, self._direction))
            self._deed = len(self.deeds) - 1

    # Words without a meaning here

    def _strange_word(self, word: str, after: Sequence[str]) -> None:
        """Keep an unknown noun where it stands; leave other unknown words out."""
        if word in grammar.FRAME or word in self.known:
            self.unread += self._strange
            self._forget_adjectives()
            self._relation = ""
            return
        if self._negated.partition(" ")[0] in _DENY_NOUNS and not self._noun_follows(after):
            self._add(Thing(word))
            return
        if self._is_strange_verb(word, after):
            self.hard = True
        is_adjective = bool(after) and Meaning("colour", after[0]) in self.lexicon.meanings.get(after[0], ())
        if self._behind == "of" or is_adjective:
            self.unread.append(word)
        elif self._determined and not self._noun_follows(after):
            self.alike.append((word, ""))
            self._add(Thing(word, self._colour, self._size, self._count))
        elif self._determined:
            self._strange.append(word)
        else:
            self.unread.append(word)

    def _is_strange_verb(self, word: str, after: Sequence[str]) -> bool:
        """Return whether an unknown word is what the subject does: it stands behind it, and an object may follow."""
        if self._determined or self._negated or self._behind or self._joined:
            return False
        if self._deed is not None or not self._subjects:
            return False
        return word.endswith(("s", "ed", "ing")) and not self._noun_follows(after)

    def _finish_noun(self) -> None:
        self.unread += self._strange
        self._forget_adjectives()

    def _noun_follows(self, after: Sequence[str]) -> bool:
        """Return whether a noun, a place or a background begins among the next words, after adjectives alone."""
        for at, word in enumerate(after):
            kinds = {
                meaning.kind
                for length in range(len(after) - at, 0, -1)
                for meaning in self.lexicon.find(" ".join(after[at : at + length]))
            }
            if kinds & {"noun", "alike", "place"} or word in grammar.BACKGROUNDS:
                return True
            adjective = word in grammar.SIZES or "colour" in kinds or self._is_strange(word)
            if not (adjective or word == ","):
                return False
        return False

    def _is_strange(self, word: str) -> bool:
        """Return whether a word has no meaning here, so that it can be an adjective."""
        tables = (grammar.STILL, grammar.IGNORED, grammar.RELATIONS, grammar.DIRECTIONS, grammar.TOWARDS, grammar.NOT)
        small = any(word in table for table in (*tables, grammar.PRONOUNS, grammar.DETERMINERS, grammar.COUNTS))
        return word.isalpha() and not small and not self.lexicon.find(word)
