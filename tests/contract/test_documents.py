"""Documents and code that say the same thing twice are kept equal."""

from pathlib import Path

import yaml

from edgecore.common.v1 import common_pb2
from edgecore_aiprod.rules import DISTILLED_STEPS, NANO_RULES, VARIANTS
from edgecore_contracts.models import AIPROD_NANO
from edgecore_contracts.states import TRANSITIONS, JobState, Reason, mermaid

ROOT = Path(__file__).resolve().parents[2]


def test_the_diagram_is_the_table() -> None:
    assert mermaid() in (ROOT / "docs" / "job-states.md").read_text()


def test_states_and_reasons_are_those_of_the_wire() -> None:
    assert {f"JOB_STATE_{state}" for state in JobState} == set(common_pb2.JobState.keys()) - {
        "JOB_STATE_UNSPECIFIED"
    }
    assert {f"REASON_{reason}" for reason in Reason} == set(common_pb2.Reason.keys()) - {"REASON_UNSPECIFIED"}
    assert all(JobState.from_proto(state.to_proto()) is state for state in JobState)
    assert all(Reason.from_proto(reason.to_proto()) is reason for reason in Reason)


def test_every_state_is_reachable_and_terminal_ones_are_three() -> None:
    reached, frontier = {JobState.INIT}, {JobState.INIT}
    while frontier:
        frontier = {target for state in frontier for target in TRANSITIONS[state]} - reached
        reached |= frontier
    assert reached == set(JobState)
    assert {state for state in JobState if state.terminal} == {
        JobState.DELIVERED,
        JobState.ERROR,
        JobState.CANCELLED,
    }


def test_asyncapi_names_every_topic() -> None:
    document = yaml.safe_load((ROOT / "docs" / "asyncapi.yaml").read_text())
    assert document["asyncapi"] == "3.0.0"
    assert set(document["channels"]) == {path.stem for path in (ROOT / "topics").glob("*.yaml")}


def test_the_gateways_rules_are_the_models_own() -> None:
    ours, own = AIPROD_NANO, NANO_RULES
    sides = (ours.side_min, ours.side_max, ours.side_multiple)
    assert {(side.low, side.high, side.step) for side in (own.width, own.height)} == {sides}
    assert (own.frames.low, own.frames.high, own.frames.step) == (
        ours.frames_min,
        ours.frames_max,
        ours.frames_step,
    )
    assert (own.steps.low, own.steps.high) == (ours.steps_min, ours.steps_max)
    assert own.guidance == (ours.guidance_min, ours.guidance_max)
    assert own.prompt[1] == own.negative_prompt[1] == ours.prompt_max
    assert (own.image.low, own.image.high) == (ours.image_side_min, ours.image_side_max)
    assert own.motion == ours.motion_max
    assert (ours.variants, ours.distilled_steps) == (VARIANTS, DISTILLED_STEPS)
    assert ours.name == f"aiprod-{own.name}"
