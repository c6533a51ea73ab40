"""AIPROD: a small hybrid video diffusion model, its trainer, and the world it is trained and judged on.

The names below are the library's public face. Importing the package imports no torch; the pipeline does when
it is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgecore_aiprod.errors import AiprodError, Cancelled, CheckpointError, InvalidRequest, TrainingError
from edgecore_aiprod.rules import MODEL_RULES, NANO_RULES, GenerationRequest, ModelRules, check_request

if TYPE_CHECKING:
    from edgecore_aiprod.pipeline import AiprodPipeline, StepReport

__version__ = "0.1.0"

__all__ = [
    "MODEL_RULES",
    "NANO_RULES",
    "AiprodError",
    "AiprodPipeline",
    "Cancelled",
    "CheckpointError",
    "GenerationRequest",
    "InvalidRequest",
    "ModelRules",
    "StepReport",
    "TrainingError",
    "check_request",
]


def __getattr__(name: str) -> Any:
    if name in ("AiprodPipeline", "StepReport"):
        from edgecore_aiprod import pipeline

        return getattr(pipeline, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
