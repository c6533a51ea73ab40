"""What a job brings along: its first frame and its adapters, fetched from the artifact store."""

import asyncio
import hashlib
from dataclasses import dataclass
from pathlib import Path

from obstore.exceptions import BaseError as StoreError

from edgecore.common.v1.common_pb2 import AdapterUse, GenerationSpec
from edgecore_contracts.states import Reason
from edgecore_inference.domain.engine_messages import Adapter
from edgecore_inference.domain.outcome import AttemptFailed
from edgecore_runtime.objects import ObjectNotFound, ObjectStore

IMAGE_BYTES, ADAPTER_BYTES = 8 * 2**20, 64 * 2**20
"""The most that one may have, as where they are uploaded."""

ADAPTERS_KEPT = 8
"""Files kept from job to job, and so the most that one job may use: 512 MiB of scratch."""

FETCH_SECONDS = 60.0
"""For one object."""


@dataclass(frozen=True)
class Fetched:
    """As the engine wants it: `image` is a path, empty without one."""

    image: str
    adapters: tuple[Adapter, ...]


class Inputs:
    """Adapters' files stay in `directory` under their SHA-256; the one that was used longest ago goes first.

    For one attempt at a time. The directory is this node's alone, and empty at the start.
    """

    def __init__(self, store: ObjectStore, directory: Path) -> None:
        self._store = store
        self._directory = directory
        self._kept: dict[str, None] = {}  # SHA-256 of those there, in the order of their last use

    async def fetch(self, spec: GenerationSpec, folder: Path) -> Fetched:
        """Everything that the spec names, a picture into the attempt's folder.

        Raises AttemptFailed: INVALID_SPEC for an object that is missing or too large, or too many adapters;
        STORAGE for a store that is away or slow, and for an adapter that is not the one that was uploaded.
        """
        if len(spec.adapters) > ADAPTERS_KEPT:
            words = f"adapters: at most {ADAPTERS_KEPT}, not {len(spec.adapters)}"
            raise AttemptFailed(Reason.INVALID_SPEC, words)
        image = ""
        if spec.image:
            image = str(folder / "image")
            await self._copy("image", spec.image, Path(image), IMAGE_BYTES)
        adapters = [Adapter(one.id, str(await self._adapter(one, folder)), one.scale) for one in spec.adapters]
        return Fetched(image, tuple(adapters))

    async def _adapter(self, wanted: AdapterUse, folder: Path) -> Path:
        path = self._directory / wanted.sha256
        if wanted.sha256 in self._kept and path.exists():
            del self._kept[wanted.sha256]
        else:
            # Kept only when it is whole and what it should be; whatever else arrives goes with the attempt.
            draft = folder / "adapter"
            found = await self._copy("adapters", wanted.key, draft, ADAPTER_BYTES)
            if found != wanted.sha256:
                words = f"adapters: {wanted.id}: the SHA-256 of {wanted.key} is {found}, not {wanted.sha256}"
                raise AttemptFailed(Reason.STORAGE, words)
            self._make_room()
            draft.replace(path)
        self._kept[wanted.sha256] = None
        return path

    def _make_room(self) -> None:
        self._directory.mkdir(exist_ok=True)
        while len(self._kept) >= ADAPTERS_KEPT:
            oldest = next(iter(self._kept))
            (self._directory / oldest).unlink(missing_ok=True)
            del self._kept[oldest]

    async def _copy(self, field: str, key: str, path: Path, most: int) -> str:
        """Copy an object into a file; returns its SHA-256. Raises AttemptFailed naming the field."""
        digest = hashlib.sha256()
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                size = await self._store.size(key)
                if size > most:
                    words = f"{field}: {key} has {size} bytes, and at most {most} are accepted"
                    raise AttemptFailed(Reason.INVALID_SPEC, words)
                with path.open("wb") as file:
                    async for chunk in self._store.read(key, 0, size):
                        file.write(chunk)
                        digest.update(chunk)
        except ObjectNotFound as error:
            words = f"{field}: {key} is not in the artifact store"
            raise AttemptFailed(Reason.INVALID_SPEC, words) from error
        except TimeoutError as error:
            words = f"{field}: {key} did not arrive within {FETCH_SECONDS:g} s"
            raise AttemptFailed(Reason.STORAGE, words) from error
        except (StoreError, OSError) as error:
            first_line = (str(error) or type(error).__name__).splitlines()[0]
            raise AttemptFailed(Reason.STORAGE, f"{field}: {first_line}") from error
        return digest.hexdigest()
