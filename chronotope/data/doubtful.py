"""A text -> why it is hardly the description of a clip. Such texts are used, since they may be meant, and are named.

They come from empty cells of tables, failed requests, refusals of captioners, subtitles, and texts that were read in
another encoding than they were written in.
"""

from __future__ import annotations

import re

__all__ = ["doubts"]

_EMPTY = frozenset("nan none null nil n/a na undefined missing #n/a #name? #value! #ref! #null! #div/0! #num!".split())
_PATTERNS = (
    (r"</?(html|head|body|div|span|p|br|script|table|img|a)\b[^>]*>|<!doctype", "holds HTML, so it is a page"),
    (
        r"^\W*(error|exception|fatal)\b\W*[:\d]|traceback \(most recent|too many requests|rate limit exceeded"
        r"|internal server error|bad gateway|service unavailable|404 not found|403 forbidden",
        "is the message of an error",
    ),
    (
        r"^\W*(i|i'm|sorry|unfortunately|my apologies)\b.*\b(sorry|unable|cannot|can't|not able)\b.*"
        r"\b(assist|help|comply|fulfil|process|view|see|watch|access|describe)\b|^\W*as an ai\b",
        "is the refusal of a captioner",
    ),
    (r"^\W*((https?|ftps?|file|s3|gs|hf)://|www\.)\S+$", "is an address"),
    (r"\d:\d\d[,.]\d{3}\s*-->|^webvtt\b", "holds the times of subtitles"),
    (r"&(amp|lt|gt|quot|nbsp|#\d+);", "holds the codes of HTML for characters"),
    (r"^=\s*[a-z]+\(", "is the formula of a spreadsheet"),
    (r"^(caption|prompt|description|title|text)\s*:", "begins with a label, which would be learned as words"),
    (r"\ufffd", "holds U+FFFD, which stands for lost letters"),
    (r"\?{3,}", "holds question marks in the place of lost letters"),
)


def doubts(text: str) -> list[str]:
    """Return what makes a text no description, in words that follow its file; [] for an ordinary text."""
    plain = text.replace("\u2019", "'").strip().lower()
    if plain in _EMPTY or not (any(map(str.isalnum, plain)) or "???" in plain):
        return ["says nothing, as an empty cell of a table does"]
    found = [reason for pattern, reason in _PATTERNS if re.search(pattern, plain)]
    return [*found, *(["was read in another encoding than it was written in"] if _is_misread(text) else [])]


def _is_misread(text: str) -> bool:
    """Return whether letters of UTF-8 were read as Windows-1252 or Latin-1."""
    return any(_is_utf8(run, encoding) for run in re.findall(r"[^\x00-\x7f]{2,}", text) for encoding in _SINGLE_BYTES)


_SINGLE_BYTES = ("cp1252", "latin-1")


def _is_utf8(run: str, encoding: str) -> bool:
    try:
        run.encode(encoding).decode()
    except UnicodeError:
        return False
    return True
