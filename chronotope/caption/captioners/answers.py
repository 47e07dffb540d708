"""Which answers of a captioner are captions, and what of them is the caption."""

from __future__ import annotations

import re
from collections import Counter

from chronotope.caption.captioners.captioner import NoCaptionError

__all__ = ["caption_of"]

MAX_WORDS = {"tags": 80, "sentence": 80, "paragraph": 300}
_OPENING = re.compile(
    r"^(?:sure[,!.]?\s+|here(?:'s| is)[^:]*:\s*|caption:\s*|in this (?:video|clip|picture|image),?\s+|"
    r"(?:the|this) (?:video|clip|picture|image|footage|scene|sequence)(?: clip)?\s+"
    r"(?:shows|depicts|features|captures|presents|displays|illustrates|portrays|begins with|opens with)(?:\s+|$))",
    re.IGNORECASE,
)
_CLOSING = re.compile(
    r"\s*(?:let me know|i hope (?:this|that)|feel free|would you like|is there anything else)\b[^.!?]*[.!?]*\s*$",
    re.IGNORECASE,
)
_THOUGHT = re.compile(r"<think(?:ing)?>.*?</think(?:ing)?>", re.IGNORECASE | re.DOTALL)
# Why an answer of such a form is no caption.
_FORMS = {
    reason: re.compile(pattern, re.IGNORECASE | re.DOTALL)
    for reason, pattern in {
        "refuses": r"\b(?:i(?:'m| am) (?:sorry|unable|not able)|i (?:can ?not|can't|won't|do not see|don't see)|"
        r"as an ai|unable to (?:see|view|describe|assist)|(?:please|could you) (?:upload|provide|attach|share)|"
        r"no (?:image|video|picture|frame)s? (?:was|were|is|are)? ?(?:provided|attached|visible|available))\b",
        "holds marks of a dialogue": r"<\|.*?\|>|</?(?:think|thinking|s|pad|unk|image)>|\[/?INST\]",
        "is code or JSON": r"```|^\s*[\[{].*[\]}]\s*$",
        "is a list of choices": r"\b(?:options?|captions?|choices)\b[^.]*:\s*1[.)]|(?:^|\s)1[.)]\s.*\s2[.)]\s",
        "describes frame after frame": r"\b(?:frame|picture|image) 1\b.*\b(?:frame|picture|image) 2\b",
    }.items()
}
_NOTHING = ("none", "null", "nan", "n/a", "na", "unknown", "undefined", "error", "empty")
_LOOP = 4  # times that the same words may stand in an answer


def caption_of(text: str, detail: str) -> str:
    """Return the caption in an answer, in one line and without its opening and closing words; raise NoCaptionError for
    what is none.

    Openings such as "The video shows" are in every caption of some captioners, and would be learned as if they meant
    something (27 of them in a published list).
    """
    text = _THOUGHT.sub(" ", text)
    for reason, form in _FORMS.items():
        if form.search(text):
            raise NoCaptionError(f"the answer {reason}: {' '.join(text.split())[:80]}")
    words = _CLOSING.sub("", " ".join(text.replace("*", " ").split())).strip("\"' ")
    before = None
    while before != words:
        before, words = words, _OPENING.sub("", words).strip("\"' ")
    if not words or words.strip(".").lower() in _NOTHING:
        raise NoCaptionError(f"the answer is empty ({words})" if words else "the answer is empty")
    count = len(words.split())
    if count > MAX_WORDS[detail]:
        raise NoCaptionError(f"the answer has {count} words, more than {MAX_WORDS[detail]}")
    if _loops(words):
        raise NoCaptionError(f"the answer repeats itself: {words[:80]}")
    return words[0].upper() + words[1:] if before and detail != "tags" and text.strip()[:1].isupper() else words


def _loops(text: str) -> bool:
    """Return whether three words stand in a text more often than a description needs them."""
    words = re.findall(r"\w+", text.lower())
    triples = Counter(zip(words, words[1:], words[2:], strict=False))
    return bool(triples) and max(triples.values()) > _LOOP
