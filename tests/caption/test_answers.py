"""Answers that are not a caption alone: what of them is one, and which are none."""

from __future__ import annotations

import pytest

from chronotope.caption.captioners.answers import caption_of
from chronotope.caption.captioners.captioner import NoCaptionError

CAPTION = "A red square moves right."


@pytest.mark.parametrize(
    "answer",
    [
        f"assistant\n\n{CAPTION}",
        f"**Assistant:** {CAPTION}",
        f"model\r\n{CAPTION}",
        f"user\nassistant\n{CAPTION}",
        f"Answer: {CAPTION}",
        f"Option 1: {CAPTION}",
        f"{CAPTION} I hope this helps! Let me know if you need version 2.0 of it.",
        f"{CAPTION}\n\n---\nWould you like a longer one? \U0001f60a",
        f"{CAPTION} If you\u2019d like another caption, I can write one.",
        f"{CAPTION} Feel free to ask. Thank you for the clip!",
        f"Here\u2019s the caption:\n{CAPTION}\nI'm happy to help with others.",
        "A red\0 square \u202emoves\u200b right.",
        "A red square \ud800 moves right.",
        f"<thi\u200bnk>It is red.</think>{CAPTION}",
    ],
)
def test_the_caption_in_an_answer_is_taken(answer: str) -> None:
    assert caption_of(answer, "sentence") == CAPTION


@pytest.mark.parametrize(
    "answer",
    [
        CAPTION,
        "A man waves and says: let me know when the bus comes.",
        "A model walks. An assistant follows her.",
        "A user types; version 2 of a page opens.",
        "A sorry sight: a wet dog sits in the rain.",
        "Sorry sight of a wet dog.",
        "Ein rotes Quadrat bewegt sich nach rechts.",
        "A sign says no, and a hand shows a 1 and a 2.",
        "A letter a) stands on a wall.",
        "\u0416\u0438\u0432\u0430\u044f \u043b\u0438\u0441\u0430.",
    ],
)
def test_captions_stay_as_they_are(answer: str) -> None:
    assert caption_of(answer, "sentence") == answer


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        *[
            (text, "is empty")
            for text in ("assistant", "assistant\n\n", "I hope this helps!", "\0\u200b", "Yes.", "No!")
        ],
        *[(text, "holds no words") for text in ("42", "42.", "7/10", "100 %", "?!")],
        ("Let me know. " * 9000, "characters, more than 20000"),
        (f"{CAPTION}\nuser\nAnd then?", "marks of a dialogue"),
        ("User: describe it\nAssistant: a square", "marks of a dialogue"),
        *[
            (text, "list of choices")
            for text in (
                "Option 1: A red square. Option 2: A red box.",
                "**Option 1:** A red square.\n**Option 2:** A red box.",
                "Option A: A red square. Option B: A red box.",
                "Caption 1 (short): A square.\nCaption 2 (long): A red square.",
                "a) A red square. b) A red box.",
                "The first option: a red square. The second option: a red box.",
            )
        ],
        *[
            (text, "refuses")
            for text in (
                "Sorry, but that is not possible.",
                "I\u2019m sorry, no.",
                "Es tut mir leid, ich kann keine Bilder sehen.",
                "Leider kann ich das Video nicht ansehen.",
                "Ich kann das nicht beschreiben.",
                "Je suis d\u00e9sol\u00e9, je ne peux pas voir d'images.",
                "D\u00e9sol\u00e9e, je n\u2019ai pas acc\u00e8s aux images.",
                "Je suis de\u0301sole\u0301.",
                "Lo siento, no puedo ver im\u00e1genes.",
                "No puedo describir el video.",
                "Mi dispiace, non posso vedere immagini.",
                "Non riesco a vedere il video.",
                "Desculpe, n\u00e3o consigo ver imagens.",
                "Sinto muito, mas n\u00e3o posso ajudar.",
                "N\u00e3o posso descrever o v\u00eddeo.",
                "Het spijt me, ik kan geen beelden zien.",
                "Sorry, ik kan dat niet.",
                "Ik kan de video niet zien.",
            )
        ],
    ],
)
def test_other_answers_are_refused_with_the_reason(answer: str, reason: str) -> None:
    with pytest.raises(NoCaptionError, match=reason):
        caption_of(answer, "sentence")
