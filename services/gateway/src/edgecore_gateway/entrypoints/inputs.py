"""From what a request names to what is stored: uploads and adapters found, a picture sent along kept."""

import asyncio
import hashlib
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edgecore_contracts.errors import Conflict, FieldProblem, InvalidInput, Unavailable
from edgecore_gateway.adapters import inputs, lora_adapters, tables, uploads, users
from edgecore_gateway.domain.picture import Picture
from edgecore_gateway.domain.spec import JobSpec
from edgecore_gateway.entrypoints.parts import Parts
from edgecore_runtime.ids import new_id
from edgecore_runtime.objects import StorageFailed

UPLOAD_BYTES_MOST = 4 * 1024**3
"""Of one user's pictures at a time."""


async def resolved(parts: Parts, user_id: str, spec: JobSpec) -> JobSpec:
    """`spec` with the keys of the files that it needs. Nothing is stored: a picture sent along gets its id alone.

    Raises InvalidInput for what is not the user's.
    """
    if spec.picture is not None:
        upload_id = new_id("upl")
        spec = replace(spec, image=upload_id, image_key=uploads.key_of(upload_id, spec.picture.media_type))
    if not spec.inputs:
        return spec
    problems: list[FieldProblem] = []
    async with parts.database.reading() as session:
        if spec.image is not None and spec.picture is None:
            upload = await uploads.get(session, spec.image, user_id, parts.clock.now())
            if upload is None:
                problems.append(FieldProblem("image", f"there is no such upload of yours: {spec.image}"))
            else:
                spec = replace(spec, image_key=uploads.key_of(upload.id, upload.media_type))
        found = await lora_adapters.find(session, (one.id for one in spec.adapters), user_id)
    missing = [one.id for one in spec.adapters if one.id not in found]
    if missing:
        problems.append(FieldProblem("adapters", f"there is no such adapter of yours: {', '.join(missing)}"))
    if problems:
        raise InvalidInput(problems)
    return replace(
        spec,
        adapters=tuple(
            replace(one, key=lora_adapters.key_of(one.id), sha256=found[one.id].sha256) for one in spec.adapters
        ),
    )


async def keep_picture(parts: Parts, user_id: str, upload_id: str, picture: Picture) -> Any:
    """Store a picture for a while; its row. Raises Conflict when the user has too many, Unavailable."""
    now = parts.clock.now()
    digest = await asyncio.to_thread(hashlib.sha256, picture.data)
    async with parts.database.transaction() as session:
        # The lock keeps two requests from both taking what is left.
        await users.lock(session, user_id)
        if await uploads.bytes_of(session, user_id) + len(picture.data) > UPLOAD_BYTES_MOST:
            held = f"{UPLOAD_BYTES_MOST // 1024**3} GiB of pictures"
            raise Conflict(f"you have {held}: wait until some expire, or delete some")
        row = await uploads.add(
            session,
            id=upload_id,
            user_id=user_id,
            media_type=picture.media_type,
            width=picture.width,
            height=picture.height,
            size_bytes=len(picture.data),
            sha256=digest.hexdigest(),
            created_at=now,
            expires_at=now + timedelta(hours=parts.settings.upload_hours),
        )
    with TemporaryDirectory(prefix="upload-") as folder:
        file = Path(folder) / "picture"
        await asyncio.to_thread(file.write_bytes, picture.data)
        await put(parts, uploads.key_of(upload_id, picture.media_type), file)
    return row


async def drop_picture(parts: Parts, upload_id: str, picture: Picture) -> None:
    """Forget the picture of a job that is not made; while the store is away it stays until it expires."""
    key = uploads.key_of(upload_id, picture.media_type)
    with suppress(StorageFailed):
        await inputs.remove(parts.database, parts.store, tables.uploads, upload_id, key)


async def put(parts: Parts, key: str, file: Path) -> None:
    """Copy the file to the artifact store. Raises Unavailable."""
    try:
        await parts.store.put(key, file)
    except StorageFailed as error:
        raise Unavailable("the artifact store is away") from error
