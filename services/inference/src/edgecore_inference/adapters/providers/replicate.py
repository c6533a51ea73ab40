"""Replicate, through `replicate`. Wire format: https://replicate.com/docs/reference/http (predictions)."""

import asyncio
from typing import Any

import httpx
from replicate.client import Client
from replicate.exceptions import ReplicateException

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

OFFERS = {"lightricks/ltx-2-fast": Offer((6, 8, 10), (Shape(1920, 1080),), 5000)}
"""Seconds and resolution by the model's public input schema; only what it sells at one price a second."""

DEFAULT_MODEL = "lightricks/ltx-2-fast"

STATES = {
    "starting": TaskState.WAITING,
    "processing": TaskState.RUNNING,
    "succeeded": TaskState.SUCCEEDED,
    "failed": TaskState.FAILED,
    "canceled": TaskState.CANCELLED,
}


class Replicate:
    """A Provider. The package repeats reads (429, 503, 504) by itself, never an order."""

    def __init__(self, api_key: str, base_url: str, model: str) -> None:
        self.model = model or DEFAULT_MODEL
        self.offer = OFFERS[self.model]
        self._client = Client(
            api_token=api_key,
            base_url=base_url or None,
            timeout=httpx.Timeout(LOOK_SECONDS),
        )

    async def submit(self, order: Order) -> str:
        wanted: dict[str, Any] = {"prompt": order.prompt, "duration": order.seconds, "resolution": "1080p"}
        try:
            # The package orders without a time-out of its own.
            async with asyncio.timeout(SUBMIT_SECONDS):
                prediction = await self._client.models.predictions.async_create(
                    model=self.model, input={**wanted, "generate_audio": False}
                )
        except ReplicateException as error:
            raise submit_failed(error, getattr(error, "status", None) or 500) from error
        except (httpx.HTTPError, TimeoutError) as error:
            raise submit_failed(error, None) from error
        except ValueError as error:
            raise Unclear(f"an answer that cannot be read: {error}") from error
        return prediction.id

    async def look(self, task: str) -> Look:
        try:
            found = await self._client.predictions.async_get(task)
        except (ReplicateException, httpx.HTTPError, ValueError) as error:
            raise Away(f"{type(error).__name__}: {error}") from error
        output = found.output[0] if isinstance(found.output, list) and found.output else found.output
        progress = found.progress
        return Look(
            state=STATES[found.status],
            fraction=progress.percentage if progress else 0.0,
            url=str(output or ""),
            detail=str(found.error or ""),
        )

    async def cancel(self, task: str) -> None:
        try:
            await self._client.predictions.async_cancel(task)
        except (ReplicateException, httpx.HTTPError, ValueError) as error:
            raise Away(f"{type(error).__name__}: {error}") from error

    async def close(self) -> None:
        await self._client._async_client.aclose()
