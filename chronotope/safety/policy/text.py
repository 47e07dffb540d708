"""A prompt -> the plain words that a reader sees in it: disguises of letters are undone before any rule is tried."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

__all__ = ["plain_forms", "spelled_letters", "words_of"]

# Letters of other alphabets that look like Latin ones.
LOOK_ALIKES = str.maketrans(
    "\u0430\u0432\u0435\u043a\u043c\u043d\u043e\u0440\u0441\u0442\u0443\u0445\u0456\u0458\u0455\u0501\u051b\u04bb"
    "\u03b1\u03b2\u03b5\u03b7\u03b9\u03ba\u03bd\u03bf\u03c1\u03c4\u03c5\u03c7\u0131\u0261\u0251\u1d0f",
    "abekmhopctyxijsdqh" + "abenikvoptuxigao",
)
LEET = str.maketrans("013457@$!|", "oieastasii")
EMOJI_WORDS = ((0x2600, 0x27BF), (0x1F300, 0x1FAFF))
SPLIT = re.compile(r"(?<!\w)\w(?:(?:[ ._*/\\-]|\s){1,2}\w(?!\w)){2,}")  # single letters with one mark between them
SPELLED = re.compile(r"(?<!\w)(?:\w[\W_]{1,2}){2,}\w(?!\w)")
FEW_LETTERS = 6
JOINED_MARKS = re.compile(r"(?<=\w)[._*'-](?=\w)")
REPEATED = re.compile(r"(.)\1{2,}")


def plain_forms(text: str) -> tuple[str, ...]:
    """Return the readings of a text, each as words with one space between them; the first is the plainest.

    A rule that holds for any of them holds for the text.
    """
    folded = _folded(text)
    latin = folded.translate(LOOK_ALIKES)
    joined = SPLIT.sub(lambda found: re.sub(r"[\W_]", "", found[0]), latin)
    forms = [latin, folded, joined, JOINED_MARKS.sub("", latin)]
    forms += [_unleet(form) for form in (latin, joined, forms[3])]
    forms += [REPEATED.sub(r"\1", form) for form in forms] + [REPEATED.sub(r"\1\1", form) for form in forms]
    return tuple(dict.fromkeys(" ".join(words_of(form)) for form in forms))


def spelled_letters(text: str) -> str:
    """Return the letters of all words that a text spells out one by one, such as "n a k e d"; "" for few of them."""
    letters = "".join(re.sub(r"[\W_]", "", found) for found in SPELLED.findall(_folded(text).translate(LOOK_ALIKES)))
    return letters if len(letters) >= FEW_LETTERS else ""


def words_of(text: str) -> list[str]:
    """Return the words of a text in lower case, without marks."""
    return re.findall(r"[^\W_]+", text)


def _folded(text: str) -> str:
    """Fold case, width and accents; drop invisible characters; name emoji by their words."""
    named = "".join(_named(character) for character in unicodedata.normalize("NFKC", text))
    decomposed = unicodedata.normalize("NFD", named.casefold())
    kept = (one for one in decomposed if unicodedata.category(one) not in ("Mn", "Cf", "Cc") or one in "\n\t")
    return unicodedata.normalize("NFC", "".join(kept))


@cache
def _named(character: str) -> str:
    if any(first <= ord(character) <= last for first, last in EMOJI_WORDS):
        return f" {unicodedata.name(character, ' ')} "
    return character


def _unleet(text: str) -> str:
    """Read digits and marks as letters in words that have letters too."""
    return " ".join(
        word.translate(LEET) if re.search(r"[^\W\d_]", word) and not re.fullmatch(r"\d+\w{1,2}", word) else word
        for word in text.split()
    )
