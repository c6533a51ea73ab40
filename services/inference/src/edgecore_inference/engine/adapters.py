"""Low-rank adapters on a pipeline: each file is read once, and what is loaded is weighed anew for every video."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgecore_inference.domain.engine_messages import Adapter
from edgecore_inference.engine.loop import RequestRefused

if TYPE_CHECKING:
    from edgecore_aiprod import AiprodPipeline

KEPT = 8
"""Adapters loaded at once; the one that was used longest ago goes first. Each may take 128 MiB."""


class AdapterRack:
    """The pipeline's adapters, loaded under their ids, which no adapter of a checkpoint has for a name."""

    def __init__(self, pipeline: "AiprodPipeline") -> None:
        self._pipeline = pipeline
        self._used: dict[str, None] = {}  # those loaded, in the order of their last use

    def apply(self, adapters: Sequence[Adapter]) -> None:
        """From now on these count, and no others. Raises RequestRefused on a file that does not fit the model, and
        InvalidRequest.
        """
        for one in adapters:
            if one.id in self._used:
                del self._used[one.id]
            else:
                self._load(one)
            self._used[one.id] = None
        self._pipeline.set_adapters({one.id: one.scale for one in adapters})

    def _load(self, adapter: Adapter) -> None:
        from edgecore_aiprod import CheckpointError

        while len(self._used) >= KEPT:
            oldest = next(iter(self._used))
            self._pipeline.unload_adapter(oldest)
            del self._used[oldest]
        try:
            self._pipeline.load_adapter(adapter.path, adapter.id)
        except CheckpointError as error:
            where = f"tensor {error.tensor} " if error.tensor else ""
            raise RequestRefused(f"adapters: {adapter.id} {where}{error.problem}") from error
