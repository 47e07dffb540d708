"""The things of Doom that captions name: monsters and what lies about, by Doom's own names of their kinds."""

from __future__ import annotations

__all__ = ["MONSTERS", "NOUNS"]

# One and several of each kind; Freedoom draws other creatures than Doom under the same names.
MONSTERS: dict[str, tuple[str, str]] = dict.fromkeys(
    (
        "Zombieman", "ShotgunGuy", "ChaingunGuy", "DoomImp", "Demon", "Spectre", "Cacodemon", "BaronOfHell",
        "HellKnight", "LostSoul", "Revenant", "Fatso", "Arachnotron", "PainElemental", "Archvile", "Cyberdemon",
        "SpiderMastermind",
    ),
    ("a monster", "monsters"),
)  # fmt: skip
NOUNS: dict[str, tuple[str, str]] = MONSTERS | {
    "ExplosiveBarrel": ("a barrel", "barrels"),
    "HealthBonus": ("a small bottle", "small bottles"),
    "ArmorBonus": ("a helmet", "helmets"),
    "Stimpack": ("a medicine box", "medicine boxes"),
    "Medikit": ("a medicine box", "medicine boxes"),
    "GreenArmor": ("a suit of armour", "suits of armour"),
    "BlueArmor": ("a suit of armour", "suits of armour"),
    "Clip": ("a box of bullets", "boxes of bullets"),
    "ClipBox": ("a box of bullets", "boxes of bullets"),
    "Shell": ("a box of shells", "boxes of shells"),
    "ShellBox": ("a box of shells", "boxes of shells"),
    "Shotgun": ("a shotgun", "shotguns"),
    "TechLamp": ("a lamp", "lamps"),
    "TechLamp2": ("a lamp", "lamps"),
    "Column": ("a lamp", "lamps"),
    "Candelabra": ("a candlestick", "candlesticks"),
}
