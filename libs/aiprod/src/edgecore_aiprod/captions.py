"""What people would write for a scene: free English, and "<object> <arrow>" in every language of CLDR.

The names in other languages come from `data/cldr.json` (Unicode CLDR annotations, licence Unicode-3.0, notice
beside it): 106 locales, 102 languages, that have a name for the nine colours of circle, square and heart and
for the eight arrows. A scene that stays still is captioned there by its object alone; English also says so in
words.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from importlib import resources
from typing import NamedTuple

import numpy as np

from edgecore_aiprod.world import COLOURS, MOTIONS, RADII, SHAPES, TRAVEL, Scene

_SHAPES = {
    "circle": ("circle", "circle", "circle", "ball", "disc", "round dot"),
    "square": ("square", "square", "square", "box", "square tile"),
    "heart": ("heart", "heart", "heart", "heart shape", "love heart"),
    "oval": ("oval", "oval", "oval", "oval shape", "ellipse"),
}
_COLOURS = {"purple": ("purple", "purple", "violet")}
_MOVES = ("moving", "moving", "drifting", "sliding", "gliding", "going", "travelling", "floating", "heading")
_VERBS = (
    "moves",
    "drifts",
    "slides",
    "glides",
    "goes",
    "travels",
    "floats",
    "is moving",
    "is drifting",
    "is sliding",
)
_WAYS = {
    "right": ("right", "right", "to the right", "rightwards", "from left to right"),
    "left": ("left", "left", "to the left", "leftwards", "from right to left"),
    "up": ("up", "up", "upwards", "to the top", "straight up"),
    "down": ("down", "down", "downwards", "to the bottom", "straight down"),
}
_CORNERS = {
    "up-right": ("up", "right", "upper right", "top right"),
    "up-left": ("up", "left", "upper left", "top left"),
    "down-right": ("down", "right", "lower right", "bottom right"),
    "down-left": ("down", "left", "lower left", "bottom left"),
}
_DIAGONALS = (
    "{y}-{x}",
    "{y} {x}",
    "{y} and {x}",
    "{y} and to the {x}",
    "{y} to the {x}",
    "diagonally {y} and {x}",
    "diagonally {y} and to the {x}",
    "to the {corner}",
    "towards the {named}",
)
_STILL = (
    "standing still",
    "staying still",
    "not moving",
    "at rest",
    "that stays in place",
    "motionless",
    "still",
    "",
)
_STANDS = ("stays still", "does not move", "stands still", "stays in place", "is not moving", "is at rest")
_SPEEDS = {"slow": ("slow", "slowly"), "fast": ("fast", "quickly"), "normal": ("at a steady pace", "")}
_SIZES = {
    "close": ("close-up", "close up", "large"),
    "medium": ("medium shot", ""),
    "far": ("far away", "small"),
}
_OPENINGS = ("", "", "", "", "a video of ", "a clip of ", "video: ", "show ")


@dataclass(frozen=True)
class Lexicon:
    """One locale's names: object by (colour, shape), arrow by motion."""

    objects: dict[tuple[str, str], str]
    arrows: dict[str, str]


class Caption(NamedTuple):
    """A text, and what it says of a scene; None where it says nothing of that."""

    text: str
    colour: str | None = None
    shape: str | None = None
    motion: str | None = None
    speed: str | None = None
    size: str | None = None
    ground: str | None = None  # "plain" or "textured"


#: By topic of a caption, what can be said of it.
TOPICS: dict[str, tuple[str, ...]] = {
    "colour": tuple(COLOURS),
    "shape": SHAPES,
    "motion": tuple(MOTIONS),
    "speed": tuple(TRAVEL),
    "size": tuple(RADII),
    "ground": ("plain", "textured"),
}


@functools.cache
def lexicons() -> dict[str, Lexicon]:
    """By locale, as shipped."""
    text = resources.files("edgecore_aiprod").joinpath("data/cldr.json").read_text(encoding="utf-8")
    table = json.loads(text)
    return {
        locale: Lexicon(
            objects={
                (colour, shape): name
                for shape in ("circle", "square", "heart")
                for colour, name in zip(table["colours"], names[shape], strict=True)
            },
            arrows=dict(zip(table["motions"], names["arrows"], strict=True)),
        )
        for locale, names in table["locales"].items()
    }


def named_caption(locale: str, colour: str, shape: str, motion: str) -> Caption:
    """ "<object> <arrow>" in a locale of CLDR. Raises KeyError on a locale that is not there."""
    lexicon = lexicons()[locale]
    thing = lexicon.objects[colour, shape]
    text = thing if motion == "still" else f"{thing} {lexicon.arrows[motion]}"
    return Caption(text, colour, shape, motion)


def english_caption(scene: Scene, rng: np.random.Generator) -> Caption:
    """A free English phrasing that says colour, shape and motion, and sometimes speed, size and ground."""

    def pick(words: tuple[str, ...]) -> str:
        return words[int(rng.integers(len(words)))]

    colour = pick(_COLOURS.get(scene.colour, (scene.colour,)))
    shape = pick(_SHAPES[scene.shape])
    speed = pick(_SPEEDS[scene.speed]) if scene.motion != "still" and rng.random() < 0.35 else ""
    size = pick(_SIZES[scene.size]) if rng.random() < 0.3 else ""
    kind = "plain" if scene.texture is None else "textured"
    ground = pick(("", "", f"on a {kind} ground"))
    adverb = speed if speed in ("slowly", "quickly") else ""
    extras = [extra for extra in ("" if adverb else speed, size, ground) if extra]
    article = pick(("a ", "a ", "a ", "the ", "one ", ""))
    if article == "a " and colour[0] in "aeiou":
        article = "an "
    thing = f"{article}{colour} {shape}"
    if scene.motion == "still":
        text = f"{thing} {pick(_STANDS)}" if rng.random() < 0.3 else f"{thing} {pick(_STILL)}"
    elif rng.random() < 0.3:
        text = f"{thing} {pick(_VERBS)} {adverb} {_way(scene.motion, rng)}"
    elif rng.random() < 0.1:
        text = f"{pick(_MOVES)} {adverb} {_way(scene.motion, rng)}, {thing}"
    else:
        order = (adverb, pick(_MOVES)) if rng.random() < 0.5 else (pick(_MOVES), adverb)
        text = f"{thing} {order[0]} {order[1]} {_way(scene.motion, rng)}"
    text = " ".join(f"{pick(_OPENINGS)}{text}".split())
    text = ", ".join([text, *extras])
    if rng.random() < 0.15:
        text = text[0].upper() + text[1:]
    elif rng.random() < 0.05:
        text = text.upper()
    text = text + "." if rng.random() < 0.1 else text
    return Caption(
        text,
        scene.colour,
        scene.shape,
        scene.motion,
        scene.speed if speed else None,
        scene.size if size else None,
        kind if ground else None,
    )


def _way(motion: str, rng: np.random.Generator) -> str:
    if motion in _WAYS:
        return _WAYS[motion][int(rng.integers(len(_WAYS[motion])))]
    y, x, corner, named = _CORNERS[motion]
    return _DIAGONALS[int(rng.integers(len(_DIAGONALS)))].format(y=y, x=x, corner=corner, named=named)


def caption(scene: Scene, rng: np.random.Generator, languages: float = 0.0) -> Caption:
    """Free English, or with probability `languages` a CLDR caption in a random locale.

    CLDR has no names for the extra shapes: those are told in English.
    """
    if rng.random() < languages and scene.shape in SHAPES:
        locales = list(lexicons())
        return named_caption(
            locales[int(rng.integers(len(locales)))], scene.colour, scene.shape, scene.motion
        )
    return english_caption(scene, rng)
