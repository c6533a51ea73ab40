"""The rules of a generate request, and the promise that the nearest value offered is itself accepted."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecore_contracts.errors import FieldProblem, InvalidInput
from edgecore_contracts.models import AIPROD_NANO, MODELS
from edgecore_gateway.domain.spec import AdapterUse, FlowGuidance, JobSpec
from edgecore_gateway.domain.validation import FIELDS, UNSUPPORTED, validate
from edgecore_gateway.entrypoints.schemas import request_schema

SEED = 7
LORAS = [f"lora_{number:026}" for number in range(5)]
LORA = LORAS[0]
UPLOAD = f"upl_{0:026}"


def accept(**fields: Any) -> JobSpec:
    return validate({"prompt": "a red circle"} | fields, MODELS, SEED)


def refuse(**fields: Any) -> list[FieldProblem]:
    with pytest.raises(InvalidInput) as caught:
        accept(**fields)
    return caught.value.problems


def test_a_prompt_alone_is_enough() -> None:
    assert accept() == JobSpec(
        model="aiprod-nano",
        prompt="a red circle",
        negative_prompt="",
        width=64,
        height=64,
        frames=17,
        fps=8.0,
        steps=20,
        guidance=4.0,
        seed=SEED,
        formats=("mp4",),
        metadata={},
    )


@pytest.mark.parametrize(
    ("fields", "frames"),
    [
        ({"seconds": 2}, 17),
        ({"seconds": 1, "fps": 24}, 25),
        ({"seconds": 0.5, "fps": 12}, 5),
        ({"frames": 33.0}, 33),
    ],
)
def test_frames_from_seconds(fields: dict[str, Any], frames: int) -> None:
    assert accept(**fields).frames == frames


@pytest.mark.parametrize(
    ("field", "value", "nearest"),
    [
        ("width", 65, 64),
        ("width", 100, 96),
        ("width", 1024, 128),
        ("width", -(10**400), 64),
        ("height", 72, 80),
        ("height", 64.5, 64),
        ("frames", 16, 17),
        ("frames", 0, 5),
        ("frames", 1e300, 33),
        ("seconds", 60, 4.125),
        ("seconds", -1, 0.625),
        ("fps", 0, 1.0),
        ("fps", 120, 60.0),
        ("steps", 0, 1),
        ("steps", 51, 50),
        ("steps", 1.5, 2),
        ("guidance", -0.1, 0.0),
        ("guidance", 10**400, 20.0),
        ("seed", -1, 0),
        ("seed", 2**63, 2**63 - 1),
        ("model", "aiprod-nanno", "aiprod-nano"),
        ("formats", "mp4", ["mp4"]),
        ("formats", ["mp4", "gif"], ["mp4"]),
        ("formats", ["webm", "webm"], ["webm"]),
        ("prompt", "x" * 2001, "x" * 2000),
        ("prompt", "   ", None),
        ("prompt", "a\0b", None),
        ("prompt", "a\ud800b", None),
        ("prompt", 5, None),
        ("negative_prompt", ["x"], None),
        ("width", "64", None),
        ("width", True, None),
        ("guidance", math.nan, None),
        ("fps", math.inf, None),
        ("formats", [], ["mp4"]),
        ("formats", [1], ["mp4"]),
        ("variant", "distiled", "distilled"),
        ("variant", 4, None),
        ("upscale", 1, None),
        ("upscale", "true", None),
        ("image", "upl_1", None),
        ("image", "https://example.org/a.png", None),
        ("image", "data:image/png;base64,!", None),
        ("image", {"url": "x"}, None),
        ("flow_guidance", {}, None),
        ("flow_guidance", [2, 0], None),
        ("flow_guidance", {"motion": [2]}, None),
        ("flow_guidance", {"motion": [2, True]}, None),
        ("flow_guidance", {"motion": [2, 0], "speed": 2}, None),
        ("flow_guidance", {"motion": [20, 0]}, {"motion": [16.0, 0], "strength": 1.0}),
        ("flow_guidance", {"motion": [16, -16]}, {"motion": [11.313, -11.313], "strength": 1.0}),
        ("flow_guidance", {"motion": [10**400, 0], "strength": 2}, {"motion": [16.0, 0], "strength": 1.0}),
        ("adapters", {"id": LORA}, None),
        ("adapters", [LORA], None),
        ("adapters", [{"id": "style"}], None),
        ("adapters", [{"id": LORA, "scale": "1"}], None),
        ("adapters", [{"id": LORA, "scale": -5}], [{"id": LORA, "scale": -4.0}]),
        ("adapters", [{"id": LORA, "scale": 2}, {"id": LORA}], [{"id": LORA, "scale": 2}]),
        ("adapters", [{"id": one} for one in LORAS], [{"id": one, "scale": 1.0} for one in LORAS[:4]]),
        ("metadata", {"a": 1}, None),
        ("metadata", {"a": "x" * 513}, None),
        ("metadata", ["a"], None),
        ("metadata", {"a": "\ud800"}, None),
    ],
)
def test_a_broken_rule_names_field_and_nearest(field: str, value: object, nearest: object) -> None:
    (problem,) = refuse(**{field: value})
    assert (problem.field, problem.nearest) == (field, nearest)
    assert problem.rule


def test_what_a_job_can_work_with() -> None:
    spec = accept(
        upscale=True,
        image=UPLOAD,
        flow_guidance={"motion": [-2, 1.5]},
        adapters=[{"id": LORAS[1], "scale": -0.5}, {"id": LORAS[0]}],
    )
    assert (spec.variant, spec.upscale, spec.image) == ("standard", True, UPLOAD)
    assert spec.flow_guidance == FlowGuidance(-2.0, 1.5, 1.0)
    assert spec.adapters == (AdapterUse(LORAS[1], -0.5), AdapterUse(LORAS[0], 1.0))
    assert spec.inputs == [UPLOAD, LORAS[1], LORAS[0]]
    shown = spec.as_dict()
    assert shown["flow_guidance"] == {"motion": [-2.0, 1.5], "strength": 1.0}
    assert shown["adapters"] == [{"id": LORAS[1], "scale": -0.5}, {"id": LORAS[0], "scale": 1.0}]


@pytest.mark.parametrize(
    ("fields", "fallback"),
    [
        ({}, True),
        ({"variant": "standard", "upscale": False, "adapters": []}, True),
        ({"model": "aiprod-nano"}, False),
        ({"variant": "distilled"}, False),
        ({"upscale": True}, False),
        ({"image": UPLOAD}, False),
        ({"flow_guidance": {"motion": [0, 0]}}, False),
        ({"adapters": [{"id": LORA}]}, False),
    ],
)
def test_what_no_provider_can_do_never_goes_to_one(fields: dict[str, Any], fallback: bool) -> None:
    assert accept(**fields).fallback is fallback


def test_the_distilled_variant_has_few_steps_and_no_guidance() -> None:
    spec = accept(variant="distilled")
    assert (spec.steps, spec.guidance, spec.negative_prompt) == (4, 1.0, "")
    assert accept(variant="distilled", steps=2, negative_prompt=" ").steps == 2
    problems = refuse(variant="distilled", steps=20, guidance=4, negative_prompt="blur")
    assert {one.field: one.nearest for one in problems} == {"steps": 4, "guidance": None, "negative_prompt": ""}
    assert any("is in the weights of the distilled variant" in one.rule for one in problems)


def test_every_problem_is_named_at_once() -> None:
    problems = refuse(prompt="", width=1, steps=99, promtp="x", image="data:", fps="fast")
    assert {one.field for one in problems} == {"prompt", "width", "steps", "promtp", "image", "fps"}


def test_an_unknown_field_names_the_known_one() -> None:
    (problem,) = refuse(guidence=4)
    assert (problem.field, problem.nearest) == ("guidence", "guidance")


def test_many_unknown_fields_are_counted_not_listed() -> None:
    problems = refuse(**{f"field{number}": 1 for number in range(100_000)})
    assert len(problems) == 11
    assert problems[-1].rule == "has 99990 more unknown fields"


@pytest.mark.parametrize("field", UNSUPPORTED)
def test_what_no_model_can_do_yet_is_refused(field: str) -> None:
    (problem,) = refuse(**{field: "x"})
    assert problem == FieldProblem(field, "not supported by aiprod-nano yet")
    assert accept(**{field: None})


def test_frames_and_seconds_exclude_each_other() -> None:
    (problem,) = refuse(frames=17, seconds=2)
    assert problem.field == "seconds"


@pytest.mark.parametrize("body", [None, [], "prompt", 5, True])
def test_only_an_object_is_a_request(body: object) -> None:
    with pytest.raises(InvalidInput, match="must be a JSON object"):
        validate(body, MODELS, SEED)


def test_a_request_without_a_prompt() -> None:
    with pytest.raises(InvalidInput) as caught:
        validate({"prompt": None}, MODELS, SEED)
    assert caught.value.problems == [FieldProblem("prompt", "is required")]


def test_the_documented_fields_are_the_checked_ones() -> None:
    assert set(request_schema(AIPROD_NANO)["properties"]) == set(FIELDS)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
likely = {
    "prompt": st.text(max_size=30),
    "model": st.sampled_from(["auto", "aiprod-nano", "aiprod", ""]),
    "width": st.integers(-50, 400) | st.floats(),
    "height": st.integers(),
    "frames": st.integers(-5, 60) | st.floats(),
    "seconds": st.floats(-2, 50) | st.floats(),
    "fps": st.floats(-5, 100) | st.integers(),
    "steps": st.integers(-5, 90) | st.floats(),
    "guidance": st.floats() | st.integers(),
    "seed": st.integers(-5, 2**64),
    "formats": st.lists(st.sampled_from(["mp4", "webm"]), max_size=3),
    "variant": st.sampled_from(["standard", "distilled", "distiled"]),
    "upscale": st.booleans(),
    "image": st.sampled_from([UPLOAD, "data:image/png;base64,AAAA", "upl_"]),
    "flow_guidance": st.fixed_dictionaries(
        {"motion": st.lists(st.integers() | st.floats(-40, 40), min_size=2, max_size=2)},
        optional={"strength": st.floats() | st.integers()},
    ),
    "adapters": st.lists(
        st.fixed_dictionaries({"id": st.sampled_from(LORAS)}, optional={"scale": st.floats() | st.integers()})
    ),
    "metadata": st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=20),
}
bodies = st.fixed_dictionaries(
    {"prompt": st.just("a red circle") | json_values},
    optional={name: values | json_values for name, values in likely.items() if name != "prompt"},
)


@given(bodies)
def test_any_body_is_accepted_or_explained_and_the_nearest_values_are_accepted(body: dict[str, Any]) -> None:
    try:
        spec = validate(body, MODELS, SEED)
    except InvalidInput as error:
        for problem in error.problems:
            if problem.nearest is None:
                body.pop(problem.field, None)
            else:
                body[problem.field] = problem.nearest
        body.setdefault("prompt", "a red circle")
        spec = validate(body, MODELS, SEED)
    rules = MODELS[spec.model]
    assert spec.width % rules.side_multiple == 0
    assert rules.side_min <= spec.width <= rules.side_max
    assert rules.frames_min <= spec.frames <= rules.frames_max
    assert (spec.frames - 1) % rules.frames_step == 0
    assert spec.to_proto().SerializeToString()
