"""Which answers of a captioner are captions, and what of them is the caption."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

from chronotope.caption.captioners.captioner import NoCaptionError
from chronotope.prompt import cleaned

__all__ = ["caption_of"]

MAX_WORDS = {"tags": 80, "sentence": 80, "paragraph": 300}
_OPENING = re.compile(
    r"^(?:sure[,!.]?\s+|here(?:['\u2019]s| is)[^:]*:\s*|(?:caption|(?:caption|option) (?:1|one)):\s*|"
    r"in this (?:video|clip|picture|image),?\s+|"
    r"(?:the|this) (?:video|clip|picture|image|footage|scene|sequence)(?: clip)?\s+"
    r"(?:shows|depicts|features|captures|presents|displays|illustrates|portrays|begins with|opens with)(?:\s+|$))",
    re.IGNORECASE,
)
_ROLE = re.compile(
    r"^\W*(?:(?:assistant|user|system|model|ai|bot|chatbot|captioner)\W*(?:\n|$)|"
    r"(?:assistant|model|ai|bot|chatbot|captioner|answer|response)\**:\**[ \n])",
    re.IGNORECASE,
)
_CLOSING = re.compile(  # one sentence at the end, from its own beginning on
    r"(?:^|\n|(?<=[.!?\"'*)\]\u2019\u201d]))\s*(?:please )?"
    r"(?:(?:so )?feel free|let me know|(?:i )?hope (?:this|that|it)|"
    r"would you like|do you want me|is there anything else|anything else|if you(?:['\u2019]d| would| have| need| want)|"
    r"(?:i(?:['\u2019]m| am|['\u2019]d| would)(?: be)? )?(?:happy|glad) to (?:help|assist|provide|write|adjust|revise)|"
    r"(?:shall|should|can) i (?:help|write|provide|add|make|change)|i can also|thank(?:s| you) for)\b"
    r"(?:[^.!?]|[.!?](?=\w))*[.!?]*\W*$",
    re.IGNORECASE,
)
_THOUGHT = re.compile(r"<think(?:ing)?>.*?</think(?:ing)?>", re.IGNORECASE | re.DOTALL)
_CHOICE = r"\b(option|choice|caption|version|variant|alternative|candidate)"
# Why an answer of such a form is no caption.
_FORMS = {
    reason: re.compile(pattern, re.IGNORECASE | re.DOTALL)
    for reason, pattern in {
        "refuses": r"\b(?:i(?:'m| am) (?:sorry|unable|not able)|i (?:can ?not|can't|won't|do not see|don't see)|"
        r"as an ai|unable to (?:see|view|describe|assist)|(?:please|could you) (?:upload|provide|attach|share)|"
        r"no (?:image|video|picture|frame)s? (?:was|were|is|are)? ?(?:provided|attached|visible|available))\b",
        "holds marks of a dialogue": r"<\|.*?\|>|</?(?:think|thinking|s|pad|unk|image)>|\[/?INST\]|"
        r"(?:^|\n)\W*(?:user|human|system|assistant)\**(?::|\W*(?:\n|$))",
        "is code or JSON": r"```|^\s*[\[{].*[\]}]\s*$",
        "is a list of choices": r"\b(?:options?|captions?|choices)\b[^.]*:\s*1[.)]|(?:^|\s)1[.)]\s.*\s2[.)]\s|"
        rf"(?:^|\s)\(?a\)\s.*\s\(?b\)\s|{_CHOICE}\s*#?(?:1|one)\b.*\b\1\s*#?(?:2|two)\b|"
        rf"{_CHOICE}\s*a\W*?[:.)].*\b\2\s*b\W*?[:.)]|\b(?:first|1st) {_CHOICE[2:]}\b.*\b(?:second|2nd) \3\b",
        "describes frame after frame": r"\b(?:frame|picture|image) 1\b.*\b(?:frame|picture|image) 2\b",
    }.items()
}
# How refusals of other languages begin, in lower case and without accents.
_REFUSALS = re.compile(
    r"(?:^|[.!?\n])\W*(?:"
    r"sorry(?:\W*$|[,.!]| (?:i|but|dat|maar)\b)|unfortunately,? i\b|"
    r"(?:es )?tut mir (?:\w+ )?leid|entschuldigung|entschuldigen sie|leider (?:kann|konnte|habe|sehe|ist|bin)|"
    r"ich (?:kann|konnte|sehe kein|habe kein|bin (?:nicht|leider|nur|ein))|als ki\b|"
    r"(?:je suis )?(?:\w+ )?desolee?\b|je (?:regrette|ne )|je n'|excusez[- ]moi|malheureusement,? je|en tant qu|"
    r"lo (?:siento|lamento)|disculp[ae]|perdon\b|no (?:puedo|veo|tengo|me es posible)|lamentablemente,? no|"
    r"como (?:(?:una?|um) )?(?:ia\b|inteligencia|modelo)|"
    r"mi (?:dispiace|spiace|scusi)|scusa(?:mi|te|temi)?[,.]|non (?:posso|riesco|vedo|sono in grado)|purtroppo,? non|"
    r"come (?:ia\b|intelligenza|modello)|"
    r"(?:eu )?(?:sinto muito|lamento)|(?:me )?desculpe|peco desculpas?|(?:eu )?nao (?:posso|consigo|vejo|tenho)|"
    r"infelizmente,? (?:eu )?nao|"
    r"(?:het )?spijt (?:me|mij)|helaas,? (?:kan|zie|heb)|ik (?:kan|zie geen|heb geen|ben (?:niet|helaas))|als ai\b)"
)
_NOTHING = frozenset(
    "none null nan n/a na unknown undefined error empty yes no ok okay true false sure assistant user system".split()
)
MAX_CHARACTERS = 20_000  # of an answer without its thoughts that is looked at
_LOOP = 4  # times that the same words may stand in an answer


def caption_of(text: str, detail: str) -> str:
    """Return the caption in an answer, in one line and without its opening and closing words; raise NoCaptionError for
    what is none.

    Openings such as "The video shows" are in every caption of some captioners, and would be learned as if they meant
    something (27 of them in a published list).
    """
    text = cleaned(_THOUGHT.sub(" ", cleaned(text, lines=True)), lines=True)
    if len(text) > MAX_CHARACTERS:
        raise NoCaptionError(f"the answer has {len(text)} characters, more than {MAX_CHARACTERS}")
    text = _until_it_stays(_ROLE, text)
    if reason := _reason(text):
        raise NoCaptionError(f"the answer {reason}: {' '.join(text.split())[:80]}")
    text = _until_it_stays(_CLOSING, text)
    words = " ".join(text.replace("*", " ").split()).strip("\"' ")
    before = None
    while before != words:
        before, words = words, _OPENING.sub("", words).strip("\"' ")
    if not words or words.strip(".!").lower() in _NOTHING:
        raise NoCaptionError(f"the answer is empty ({words})" if words else "the answer is empty")
    if not any(map(str.isalpha, words)):
        raise NoCaptionError(f"the answer holds no words: {words[:80]}")
    count = len(words.split())
    if count > MAX_WORDS[detail]:
        raise NoCaptionError(f"the answer has {count} words, more than {MAX_WORDS[detail]}")
    if _loops(words):
        raise NoCaptionError(f"the answer repeats itself: {words[:80]}")
    return words[0].upper() + words[1:] if before and detail != "tags" and text.strip()[:1].isupper() else words


def _until_it_stays(pattern: re.Pattern[str], text: str) -> str:
    """Remove what a pattern finds, again until it finds nothing, and the lines without letters at both ends."""
    before = None
    while before != text:
        before, text = text, re.sub(r"^(?:[-_=*#]+\n)+|(?:\n+[-_=*#]+)+\s*$", "", pattern.sub("", text).strip())
    return text


def _reason(text: str) -> str:
    """Return why a text is no caption by its form; empty where it may be one."""
    text = re.sub("[\u2018\u2019\u02bc]", "'", text)
    plain = "".join(char for char in unicodedata.normalize("NFD", text.lower()) if not unicodedata.combining(char))
    if _REFUSALS.search(plain):
        return "refuses"
    return next((reason for reason, form in _FORMS.items() if form.search(text)), "")


def _loops(text: str) -> bool:
    """Return whether three words stand in a text more often than a description needs them."""
    words = re.findall(r"\w+", text.lower())
    triples = Counter(zip(words, words[1:], words[2:], strict=False))
    return bool(triples) and max(triples.values()) > _LOOP
