"""What only our own models can be told: no provider's offer follows it, so such a job is never bought."""

from edgecore.common.v1.common_pb2 import GenerationSpec

FIELDS = frozenset({"variant", "upscale", "image", "flow_guidance", "adapters"})


def own_only(spec: GenerationSpec) -> str:
    """The first field for which only our own nodes can make the video; empty where a provider can as well."""
    asked = [field.name for field, _ in spec.ListFields() if field.name in FIELDS]
    if spec.variant == "standard":
        asked.remove("variant")
    return asked[0] if asked else ""
