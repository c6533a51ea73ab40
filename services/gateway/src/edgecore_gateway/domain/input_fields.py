"""Checks of the fields that give a job something to work with; as fields.py."""

import math
import re
from typing import Any

from edgecore_gateway.domain import fields
from edgecore_gateway.domain.fields import Refused
from edgecore_gateway.domain.picture import Picture, read_data_url
from edgecore_gateway.domain.spec import AdapterUse, FlowGuidance

SCALE_MOST = 4.0

_UPLOAD_ID = re.compile(r"upl_[0-9A-HJKMNP-TV-Z]{26}", re.ASCII)
_ADAPTER_ID = re.compile(r"lora_[0-9A-HJKMNP-TV-Z]{26}", re.ASCII)


def is_upload_id(text: str) -> bool:
    """Whether the text has an upload id's shape; nothing else is worth a query, or fit for one."""
    return _UPLOAD_ID.fullmatch(text) is not None


def is_adapter_id(text: str) -> bool:
    """The same for an adapter's id."""
    return _ADAPTER_ID.fullmatch(text) is not None


def image(value: Any, low: int, high: int) -> str | Picture:
    """An upload's id, or the picture of a data URL, with sides of `low` to `high` pixels."""
    if isinstance(value, str) and is_upload_id(value):
        return value
    if isinstance(value, str) and value[:5].lower() == "data:":
        return read_data_url(value, low, high)
    raise Refused("must be the id of an upload (upl_…) or a data URL of a PNG, JPEG or WebP picture")


def flow_guidance(value: Any, longest: float) -> FlowGuidance:
    """{motion: [right, down], strength}: pixels a frame, a vector no longer than `longest`, and 0 to 1."""
    rule = (
        "must be {motion: [right, down], strength}: "
        f"pixels a frame, at most {longest:g} long, and a number from 0 to 1"
    )
    if not isinstance(value, dict) or not value.keys() <= {"motion", "strength"}:
        raise Refused(rule)
    motion, strength = value.get("motion"), value.get("strength")
    if not isinstance(motion, list) or len(motion) != 2:
        raise Refused(rule)
    given = [fields.finite(part, rule) for part in motion]
    strength = 1.0 if strength is None else fields.finite(strength, rule)
    right, down = _shortened([min(max(part, -longest), longest) for part in given], longest)
    share = min(max(strength, 0.0), 1.0)
    if [right, down, share] != [*given, strength]:
        raise Refused(rule, {"motion": [right, down], "strength": share})
    return FlowGuidance(float(right), float(down), float(share))


def adapters(value: Any, most: int) -> tuple[AdapterUse, ...]:
    """At most `most` of {id, scale}, no id twice; a scale is -SCALE_MOST to SCALE_MOST, 1 if not given."""
    rule = (
        f"must be a list of at most {most} of {{id, scale}}, no id (lora_…) twice, "
        f"scale a number from {-SCALE_MOST:g} to {SCALE_MOST:g}"
    )
    if not isinstance(value, list):
        raise Refused(rule)
    given = [_use(one, rule) for one in value[: most + 1]]
    scales = {id: min(max(scale, -SCALE_MOST), SCALE_MOST) for id, scale in reversed(given[:most])}
    accepted = [(id, scales[id]) for id in dict.fromkeys(id for id, _ in given[:most])]
    if accepted != given:
        raise Refused(rule, [{"id": id, "scale": scale} for id, scale in accepted])
    return tuple(AdapterUse(id, float(scale)) for id, scale in accepted)


def _shortened(motion: list[float], longest: float) -> list[float]:
    """The same direction, no longer than `longest`; thousandths of a pixel when it was."""
    length = math.hypot(*motion)
    if length <= longest:
        return motion
    return [math.trunc(part * longest / length * 1000) / 1000 for part in motion]


def _use(one: Any, rule: str) -> tuple[str, float]:
    if not isinstance(one, dict) or not one.keys() <= {"id", "scale"}:
        raise Refused(rule)
    id, scale = one.get("id"), one.get("scale")
    if not isinstance(id, str) or not is_adapter_id(id):
        raise Refused(rule)
    return id, 1.0 if scale is None else fields.finite(scale, rule)
