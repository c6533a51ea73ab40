"""Five hundred terms of film: the data, how a prompt is searched, and what a term does to the embedding."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from edgecore_aiprod.captions import lexicons
from edgecore_aiprod.model import Model
from edgecore_aiprod.presets import TERMS
from edgecore_aiprod.vocabulary import find_terms, vocabulary


def names(prompt: str) -> list[str]:
    return [vocabulary()[number].term for number in find_terms(prompt)]


def test_five_hundred_terms_of_ten_groups_each_with_a_definition() -> None:
    assert len(vocabulary()) == TERMS == 500
    assert len({term.term for term in vocabulary()}) == 500
    assert len({term.definition for term in vocabulary()}) == 500
    groups = Counter(term.group for term in vocabulary())
    assert len(groups) == 10
    assert set(groups.values()) == {50}
    for term, _, definition in vocabulary():
        assert term == term.lower().strip(), term
        assert 30 <= len(definition) <= 100, term
        assert definition[0].isupper(), term
        assert definition.endswith("."), term
        assert ". " not in definition, term
        assert definition.lower().removesuffix(".") != term


def test_every_term_is_found_as_it_stands_in_capitals_and_between_other_scripts() -> None:
    for number, term in enumerate(vocabulary()):
        for prompt in (
            term.term,
            f"A heart, {term.term.upper()}.",
            f"赤い丸{term.term}赤い丸",
            f"é{term.term}é",
        ):
            assert find_terms(prompt) == [number], prompt


@pytest.mark.parametrize(
    ("prompt", "found"),
    [
        ("an extreme close-up of a heart", ["extreme close-up"]),
        ("a re-establishing shot", ["re-establishing shot"]),
        ("medium close-up, then a close-up", ["medium close-up", "close-up"]),
        ("bokeh and Anamorphic Bokeh and bokeh", ["bokeh", "anamorphic bokeh"]),
        ("bird's-eye view, god’s-eye view", ["birds-eye view", "gods-eye view"]),
        ("a shallow depth of field", ["shallow depth of field"]),
        ("closeups, panoramas, bokehs", []),
        ("", []),
        ("a red circle moving right", []),
    ],
)
def test_the_longest_term_wins_and_parts_of_words_are_none(prompt: str, found: list[str]) -> None:
    assert names(prompt) == found


def test_no_name_of_another_language_is_taken_for_a_term() -> None:
    for locale, lexicon in lexicons().items():
        for name in (*lexicon.objects.values(), *lexicon.arrows.values()):
            assert not find_terms(name), (locale, name)


@torch.inference_mode()
def test_a_term_changes_the_embedding_and_a_prompt_without_terms_knows_nothing_of_them(
    tiny_model: Model,
) -> None:
    told = ["a red circle, dolly zoom", "a red circle"]
    text = tiny_model.text
    with_term_RE, without_RE = text.encode(told)
    kept = text.terms.weight.clone()
    try:
        text.terms.weight[find_terms("dolly zoom")] = torch.randn(1, 16)
        other_term_RE, same_RE = text.encode(told)
    finally:
        text.terms.weight.copy_(kept)
    assert not torch.allclose(other_term_RE, with_term_RE)
    assert torch.equal(same_RE, without_RE)
    assert len(text.encode(["dolly zoom", "crash zoom", "dolly zoom, crash zoom"]).unique(dim=0)) == 3


@torch.inference_mode()
def test_terms_are_read_alike_alone_and_beside_longer_prompts(tiny_model: Model) -> None:
    told = ["ein Herz, bokeh", "a much longer prompt with a tracking shot and a dutch angle, " * 9, "丸"]
    together_BRE = tiny_model.text.encode(told)
    for prompt, register_RE in zip(told, together_BRE, strict=True):
        torch.testing.assert_close(tiny_model.text.encode([prompt])[0], register_RE, atol=1e-5, rtol=1e-4)
