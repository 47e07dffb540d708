"""Clauses of a prompt in the order of time, and without comparisons: "before X, Y" is "Y, then X"."""

from __future__ import annotations

from collections.abc import Sequence

from chronotope.caption.words import grammar
from chronotope.caption.words.lexicon import Lexicon

__all__ = ["in_order_of_time", "without_similes"]

_ENDS = (".", ";", "!", "?", "\n")
_MARKS = (*_ENDS, ",", ":")


def in_order_of_time(tokens: Sequence[str], lexicon: Lexicon) -> list[str]:
    """Return tokens whose clauses with "before", "after" or "once" stand in the order of time, joined by "then".

    A sentence with more than one of these words, or without a verb on both sides, stays as it is.
    """
    found: list[str] = []
    sentence: list[str] = []
    for token in [*tokens, ""]:
        if token not in (*_ENDS, ""):
            sentence.append(token)
            continue
        found += _arranged(sentence, lexicon)
        found += [token] if token else []
        sentence = []
    return found


def _arranged(sentence: list[str], lexicon: Lexicon) -> list[str]:
    places = [at for at, word in enumerate(sentence) if word in ("before", "after") or (at == 0 and word == "once")]
    if len(places) != 1:
        return sentence
    at, word = places[0], sentence[places[0]]
    if at == 0:
        end = sentence.index(",") if "," in sentence else 0
        one, other = sentence[1:end], sentence[end + 1 :]
        first, second = (other, one) if word == "before" else (one, other)
    else:
        before, after = sentence[:at], sentence[at + 1 :]
        if after[:1] in (["that"], ["this"]):
            if word == "after":
                return sentence  # 'and after that', which is read as 'then'
            before, after, word = _without_joint(before), after[1:], "after"
        first, second = (before, after) if word == "before" else (after, before)
    if _verb_at(first, lexicon) is None or _verb_at(second, lexicon) is None:
        return sentence
    return [*_with_subject(first, second, lexicon), "then", *_with_pronoun(first, second, lexicon)]


def _without_joint(clause: list[str]) -> list[str]:
    while clause and clause[-1] in (",", "but", "and"):
        clause = clause[:-1]
    return clause


def _verb_at(clause: Sequence[str], lexicon: Lexicon) -> int | None:
    """Return where the first verb of a clause stands."""
    for at, word in enumerate(clause):
        meanings = lexicon.find(word) or (lexicon.find(" ".join(clause[at : at + 2])) if at + 1 < len(clause) else ())
        kinds = {meaning.kind for meaning in meanings}
        if "verb" in kinds and (at > 0 or "noun" not in kinds) and word not in grammar.DIRECTIONS:
            return at
    return None


def _lacks_subject(clause: Sequence[str], lexicon: Lexicon) -> bool:
    return clause[0] in grammar.PRONOUNS or _verb_at(clause, lexicon) == 0


def _with_subject(first: list[str], second: list[str], lexicon: Lexicon) -> list[str]:
    """Return the clause that now stands first, with the other one's subject for its pronoun."""
    if not _lacks_subject(first, lexicon):
        return first
    subject = second[: _verb_at(second, lexicon)]
    return [*subject, *(first[1:] if first[0] in grammar.PRONOUNS else first)]


def _with_pronoun(first: list[str], second: list[str], lexicon: Lexicon) -> list[str]:
    return ["it", *second[_verb_at(second, lexicon) :]] if _lacks_subject(first, lexicon) else second


def without_similes(tokens: Sequence[str], lexicon: Lexicon) -> tuple[list[str], list[str]]:
    """Return tokens without comparisons such as "like a jewel of kings" or "as soft as silk", and these."""
    kept: list[str] = []
    similes: list[str] = []
    at = 0
    while at < len(tokens):
        length = _simile(tokens[at:], lexicon)
        if length:
            similes.append(" ".join(tokens[at : at + length]))
        else:
            kept.append(tokens[at])
        at += length or 1
    return kept, similes


def _simile(tokens: Sequence[str], lexicon: Lexicon) -> int:
    """Return how many tokens the comparison has that begins here, 0 for none."""
    after = tokens[1:3]
    if len(after) < 2 and tokens[0] != "like":
        return 0
    if tokens[0] == "like" and after and after[0] not in (*grammar.DETERMINERS, *_MARKS):
        return 2  # 'like crazy'
    starts = tokens[0] == "like" or after[:1] in (["though"], ["if"])
    if tokens[0] == "as" and after[:1] and after[0] in grammar.DETERMINERS:
        starts = not lexicon.find(after[1])  # 'as a mother leans', but not 'as a cat walks by'
    if not starts or tokens[0] not in ("like", "as"):
        return 0
    for at, word in enumerate(tokens):
        is_deed = any(meaning.kind == "verb" and meaning.form == "s" for meaning in lexicon.find(word))
        if word in _MARKS or word in grammar.THEN or (is_deed and at > 2 and tokens[0] == "like"):
            return at
    return len(tokens)
