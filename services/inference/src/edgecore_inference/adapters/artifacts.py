"""Where finished files go. A key holds the lease's token: two holders of one job never write the same."""

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path

import stamina

from edgecore_contracts.states import Reason
from edgecore_inference.domain.outcome import AttemptFailed
from edgecore_runtime import crash, logs
from edgecore_runtime.objects import ObjectStore, StorageFailed, Stored

DELETE_ATTEMPTS, DELETE_SECONDS = 3, 20.0

log = logs.get(__name__)


def folder_key(job_id: str, attempt: int, token: int) -> str:
    """Under which all files of one attempt lie."""
    return f"jobs/{job_id}/{attempt}-{token}"


class Artifacts:
    """The artifact store as an attempt uses it."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    async def upload(self, files: Mapping[str, Path]) -> dict[str, Stored]:
        """Put files under their keys, all or none. Raises AttemptFailed; it or being cancelled leaves none."""
        stored: dict[str, Stored] = {}
        crash.point("upload.before")
        try:
            for key, path in files.items():
                stored[key] = await self._put(key, path)
        except BaseException:
            await self.remove(stored)
            raise
        crash.point("upload.after")
        return stored

    async def remove(self, keys: Iterable[str]) -> None:
        """Best effort: what stays is under keys that no job points to."""
        for key in keys:
            await self._remove(key)

    async def _put(self, key: str, path: Path) -> Stored:
        putting = asyncio.create_task(self._store.put(key, path))
        try:
            # Shielded: a put that is cancelled half-way might still land after we removed the key.
            return await asyncio.shield(putting)
        except asyncio.CancelledError:
            await asyncio.wait({putting})
            if putting.exception() is None:
                await self._remove(key)
            raise
        except StorageFailed as error:
            raise AttemptFailed(Reason.STORAGE, str(error)) from error

    async def _remove(self, key: str) -> None:
        try:
            async for attempt in stamina.retry_context(
                on=StorageFailed, attempts=DELETE_ATTEMPTS, timeout=DELETE_SECONDS, wait_initial=0.2
            ):
                with attempt:
                    await self._store.delete(key)
        except StorageFailed as error:
            log.warning("artifact not removed", key=key, detail=str(error))
