"""Where finished videos go. A key holds the lease's token: two holders of one job never write the same."""

import asyncio
from pathlib import Path

import stamina

from edgecore_contracts.states import Reason
from edgecore_inference.domain.outcome import AttemptFailed
from edgecore_runtime import crash, logs
from edgecore_runtime.objects import ObjectStore, StorageFailed, Stored

MEDIA_TYPE = "video/mp4"
DELETE_ATTEMPTS, DELETE_SECONDS = 3, 20.0

log = logs.get(__name__)


def video_key(job_id: str, attempt: int, token: int) -> str:
    return f"jobs/{job_id}/{attempt}-{token}/video.mp4"


class Artifacts:
    """The artifact store as an attempt uses it."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    async def upload(self, key: str, path: Path) -> Stored:
        """All or nothing. Raises AttemptFailed. Being cancelled leaves nothing under the key."""
        crash.point("upload.before")
        putting = asyncio.create_task(self._store.put(key, path))
        try:
            # Shielded: a put that is cancelled half-way might still land after we removed the key.
            stored = await asyncio.shield(putting)
        except asyncio.CancelledError:
            await asyncio.wait({putting})
            if putting.exception() is None:
                await self.remove(key)
            raise
        except StorageFailed as error:
            raise AttemptFailed(Reason.STORAGE, str(error)) from error
        crash.point("upload.after")
        return stored

    async def remove(self, key: str) -> None:
        """Best effort: what stays is under a key that no job points to."""
        try:
            async for attempt in stamina.retry_context(
                on=StorageFailed, attempts=DELETE_ATTEMPTS, timeout=DELETE_SECONDS, wait_initial=0.2
            ):
                with attempt:
                    await self._store.delete(key)
        except StorageFailed as error:
            log.warning("artifact not removed", key=key, detail=str(error))
