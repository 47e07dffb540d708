"""What a prompt says, as facts: who is there, what they do and where, and what shall not be there."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Camera", "Deed", "Relation", "Scene", "Thing"]


@dataclass(frozen=True)
class Thing:
    """Somebody or something; `noun` is a word of captions, or the user's own where none was found."""

    noun: str
    colour: str = ""
    size: str = ""
    count: str = ""  # "two"; empty for one
    side: str = ""  # "left", "right" or "middle" of the picture
    plural: bool = False


@dataclass(frozen=True)
class Deed:
    """What one thing does: a verb of captions, its direction, and the other thing that it has to do with.

    `said` is the base form of what the user said for the verb; `manner` is how it enters or leaves, such as "fly".
    """

    actor: int
    verb: str
    said: str = ""
    direction: str = ""
    relation: str = ""
    target: int | None = None
    later: bool = False  # after what was said before it
    manner: str = ""


@dataclass(frozen=True)
class Relation:
    """Where one thing is, seen from another: 'to the left of', 'behind'."""

    one: int
    how: str
    other: int


@dataclass(frozen=True)
class Camera:
    """'pan', 'zoom' or 'follow', its direction, and the thing that it looks at."""

    kind: str
    direction: str = ""
    target: int | None = None


@dataclass(frozen=True)
class Scene:
    """All that was read in a prompt.

    `read` pairs the user's words with the words of captions that were put in their place, `unread` are words without a
    meaning here, and `alike` are nouns that cannot be drawn, with the group of what is alike.
    """

    things: tuple[Thing, ...] = ()
    deeds: tuple[Deed, ...] = ()
    relations: tuple[Relation, ...] = ()
    place: str = ""  # a key of the places, or a colour
    camera: Camera | None = None
    absent: tuple[Thing, ...] = ()
    read: tuple[tuple[str, str], ...] = ()
    unread: tuple[str, ...] = ()
    alike: tuple[tuple[str, str], ...] = ()
    bare: bool = False  # a noun stands without an article, as in keywords
    hard: bool = False  # something was said that facts do not hold, such as what is not done
