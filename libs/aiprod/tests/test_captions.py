from __future__ import annotations

import numpy as np

from edgecore_aiprod.captions import caption, english_caption, lexicons, named_caption
from edgecore_aiprod.world import COLOURS, EXTRA_SHAPES, MOTIONS, SHAPES, sample_scene


def test_english_says_colour_and_shape_in_many_ways() -> None:
    scene = sample_scene(np.random.default_rng(0), "purple", "heart", "up-left", speed="slow", size="close")
    texts = {english_caption(scene, np.random.default_rng(index)).text.lower() for index in range(300)}
    assert len(texts) > 200
    assert all(("purple" in text or "violet" in text) and "heart" in text for text in texts)
    assert all("up" in text or "top left" in text for text in texts)
    assert not any("right" in text or "down" in text for text in texts)


def test_every_language_names_every_scene() -> None:
    assert len(lexicons()) == 106
    assert len({locale.split("-")[0] for locale in lexicons()}) == 102
    for locale, lexicon in lexicons().items():
        names = {lexicon.objects[colour, shape] for colour in COLOURS for shape in SHAPES}
        assert len(names) == 27, locale
        assert len({named_caption(locale, "red", "circle", motion) for motion in MOTIONS}) == 9, locale


def test_named_captions_read_as_cldr_has_them() -> None:
    assert named_caption("fr", "blue", "heart", "left").text == "cœur bleu flèche gauche"
    assert named_caption("ja", "red", "circle", "still").text == "赤い丸"


def test_the_share_of_languages_is_kept() -> None:
    rng = np.random.default_rng(1)
    scene = sample_scene(rng, "white", "square", "down")
    told_ones = [caption(scene, rng, languages=0.5) for _ in range(300)]
    assert 90 < sum("white" in told.text.lower() for told in told_ones) < 210
    assert all("white" in caption(scene, rng).text.lower() for _ in range(50))


def test_extra_shapes_are_told_in_english_whatever_the_share_of_languages() -> None:
    rng = np.random.default_rng(2)
    for extra in EXTRA_SHAPES:
        scene = sample_scene(rng, "red", extra, "up")
        told = [caption(scene, rng, languages=1.0).text.lower() for _ in range(50)]
        assert all("red" in text for text in told)
        assert sum(extra in text for text in told) > 25
