"""Every script makes a clip; a prompt that breaks a rule is told which."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from edgecore_aiprod import AiprodPipeline, GenerationRequest, InvalidRequest
from edgecore_aiprod.model import Model

SCRIPTS = {
    "right to left": "دائرة حمراء تتحرك إلى اليمين",
    "both ways": "\u202eעיגול\u202c red אדום",
    "combining": "e\u0301" * 200 + "Z̴̡̨͓͎̈́͝a̷̢͝l̶̰̈́g̷̱̈o̵͇͘",
    "conjuncts": "नीला दिल क्ष्म्य",
    "emoji": "👩‍👩‍👧‍👦❤️‍🔥🏳️‍🌈🔴➡️",
    "flags and keycaps": "🇫🇷🇯🇵1️⃣",
    "beyond the first plane": "𓀀𒀀𝔸",
    "no spaces": "ก็ที่หัวใจสีแดง",
    "zero width": "red\u200b\u200dcircle\ufeff",
    "NUL bytes": "a red\0circle\0",
    "control characters": "\x01\x1b[31mred\x7f",
    "noncharacters": "\uffff\ufdd0",
    "terms only": "bokeh",
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_makes_a_clip_and_reads_unlike_the_rest(
    tiny_pipeline: AiprodPipeline, name: str
) -> None:
    text = tiny_pipeline.model.text
    with torch.inference_mode():
        register_RE, other_RE = text.encode([SCRIPTS[name]]), text.encode(["a red circle"])
    assert register_RE.isfinite().all()
    assert not torch.allclose(register_RE, other_RE)
    assert tiny_pipeline(GenerationRequest(SCRIPTS[name], frames=5, steps=1)).shape == (5, 64, 64, 3)


@pytest.mark.parametrize("prompt", ["x", "🔴", "\0", "x" * 2000, "🔴" * 2000])
def test_one_and_two_thousand_characters_make_a_clip(tiny_pipeline: AiprodPipeline, prompt: str) -> None:
    video = tiny_pipeline(GenerationRequest(prompt, frames=5, steps=1))
    assert video.shape == (5, 64, 64, 3)


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("", "not 0 characters"),
        ("x" * 2001, "not 2001 characters"),
        ("🔴" * 2001, "not 2001 characters"),
        ("x" * 100_000, "not 100000 characters"),
        (" \n\u3000\u00a0", "not all blank"),
        ("a red \ud83d circle", "unpaired surrogate .*character 6"),
        ("\udd34", "unpaired surrogate .*character 0"),
        (b"a red circle", "text of 1 to 2000"),
        (None, "text of 1 to 2000"),
        (["a red circle"], "text of 1 to 2000"),
    ],
)
def test_a_prompt_that_breaks_a_rule_is_told_which(
    tiny_pipeline: AiprodPipeline, prompt: Any, said: str
) -> None:
    with pytest.raises(InvalidRequest, match=said) as caught:
        tiny_pipeline(GenerationRequest(prompt, frames=5, steps=1))
    assert caught.value.field == "prompt"
    assert len(str(caught.value)) < 300


def test_a_negative_prompt_may_be_empty_and_keeps_the_rules(tiny_pipeline: AiprodPipeline) -> None:
    for negative in ("x" * 2001, "\udd34"):
        with pytest.raises(InvalidRequest) as caught:
            tiny_pipeline(GenerationRequest("red", negative, frames=5, steps=1))
        assert caught.value.field == "negative_prompt"


@torch.inference_mode()
def test_the_text_encoder_itself_cuts_nothing_and_refuses_surrogates(tiny_model: Model) -> None:
    long = "a red circle " * 700  # 9,100 characters
    assert not torch.equal(tiny_model.text.encode([long + "x"]), tiny_model.text.encode([long + "y"]))
    with pytest.raises(UnicodeEncodeError):
        tiny_model.text.encode(["fine", "\ud83d"])
