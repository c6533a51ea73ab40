"""Runway, through `runwayml`. Wire format: https://docs.dev.runwayml.com/api (text_to_video, tasks)."""

import runwayml

from edgecore_inference.adapters.providers import (
    LOOK_SECONDS,
    SUBMIT_SECONDS,
    Away,
    Look,
    TaskState,
    Unclear,
    submit_failed,
)
from edgecore_inference.domain.offers import Offer, Order, Shape

OFFERS = {
    "gen4.5": Offer(tuple(range(2, 11)), (Shape(1280, 720), Shape(720, 1280)), 1000),
    "veo3.1": Offer((4, 6, 8), (Shape(1280, 720), Shape(720, 1280)), 1000),
    "veo3.1_fast": Offer((4, 6, 8), (Shape(1280, 720), Shape(720, 1280)), 1000),
}
"""What text_to_video.create accepts in runwayml 5.24."""

DEFAULT_MODEL = "gen4.5"

STATES = {
    "PENDING": TaskState.WAITING,
    "THROTTLED": TaskState.WAITING,
    "RUNNING": TaskState.RUNNING,
    "SUCCEEDED": TaskState.SUCCEEDED,
    "FAILED": TaskState.FAILED,
    "CANCELLED": TaskState.CANCELLED,
}


class Runway:
    """A Provider. Its package's own waiter ignores CANCELLED, so tasks are looked at one by one."""

    def __init__(self, api_key: str, base_url: str, model: str) -> None:
        self.model = model or DEFAULT_MODEL
        self.offer = OFFERS[self.model]
        self._client = runwayml.AsyncRunwayML(
            api_key=api_key, base_url=base_url or None, max_retries=0, timeout=LOOK_SECONDS
        )

    async def submit(self, order: Order) -> str:
        try:
            task = await self._client.text_to_video.create(
                model=self.model,  # type: ignore[call-overload]
                prompt_text=order.prompt,
                ratio=f"{order.shape.width}:{order.shape.height}",
                duration=order.seconds,
                seed=order.seed,
                timeout=SUBMIT_SECONDS,
            )
        except runwayml.APIStatusError as error:
            raise submit_failed(error, error.status_code) from error
        except runwayml.APIResponseValidationError as error:
            raise Unclear(f"an answer without a task: {error}") from error
        except runwayml.APIConnectionError as error:
            raise submit_failed(error, None) from error
        if not getattr(task, "id", None):
            raise Unclear("an answer without a task's id")
        return str(task.id)

    async def look(self, task: str) -> Look:
        try:
            found = await self._client.tasks.retrieve(task)
        except runwayml.APIError as error:
            raise Away(f"{type(error).__name__}: {error}") from error
        state = STATES.get(found.status)
        if state is None:
            raise Away(f"a status that is not known: {found.status!r}")
        output = getattr(found, "output", None) or []
        return Look(
            state=state,
            fraction=float(getattr(found, "progress", 0.0) or 0.0),
            url=str(output[0]) if output else "",
            detail=str(getattr(found, "failure", "") or ""),
        )

    async def cancel(self, task: str) -> None:
        try:
            await self._client.tasks.delete(task)
        except runwayml.APIError as error:
            raise Away(f"{type(error).__name__}: {error}") from error

    async def close(self) -> None:
        await self._client.close()
