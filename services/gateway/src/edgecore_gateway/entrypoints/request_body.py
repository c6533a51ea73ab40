"""Reading a request's body: bounded in size and time, and never trusted."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from fastapi import Request
from starlette.exceptions import HTTPException

from edgecore_contracts.errors import PayloadTooLarge
from edgecore_gateway.domain import json_body
from edgecore_gateway.domain.json_body import MalformedJson

READ_SECONDS = 30.0
SAVE_SECONDS = 300.0
DISCARD_MOST = 32 * 1024 * 1024
"""So much of a body over the limit is read and thrown away, so that its sender hears the answer."""


async def read_json(request: Request, most: int) -> Any:
    """The JSON value of the body, at most `most` bytes long.

    Raises PayloadTooLarge, and HTTPException for 400 (not JSON), 408 (too slow) and 415 (another type).
    """
    _check_type(request)
    try:
        return json_body.parse(await read_bytes(request, most))
    except MalformedJson as error:
        raise HTTPException(400, str(error)) from error


async def read_bytes(request: Request, most: int) -> bytes:
    """The body, at most `most` bytes long. Raises PayloadTooLarge, and HTTPException for 408 (too slow)."""
    chunks: list[bytes] = []
    async for chunk in _chunks(request, most, READ_SECONDS):
        chunks.append(chunk)
    return b"".join(chunks)


async def save(request: Request, path: Path, most: int) -> tuple[int, str]:
    """Write the body, at most `most` bytes long, to a new file; its size and SHA-256. Raises as read_bytes."""
    digest, size = hashlib.sha256(), 0
    with path.open("xb") as file:
        async for chunk in _chunks(request, most, SAVE_SECONDS):
            digest.update(chunk)
            size += file.write(chunk)
    return size, digest.hexdigest()


async def _chunks(request: Request, most: int, seconds: float) -> AsyncIterator[bytes]:
    """The body as it arrives, all of it within `seconds`. Raises as read_bytes."""
    loop = asyncio.get_running_loop()
    deadline, size = loop.time() + seconds, 0
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout_at(deadline):
                chunk = await anext(stream, None)
        except TimeoutError as error:
            raise HTTPException(408, f"the body did not arrive within {seconds:.0f} seconds") from error
        if chunk is None or size > most + DISCARD_MOST:
            break
        size += len(chunk)
        if size <= most:
            yield chunk
    if size > most:
        raise PayloadTooLarge(f"the body may have at most {most} bytes")


def _check_type(request: Request) -> None:
    media_type, _, parameters = request.headers.get("content-type", "").partition(";")
    charset = parameters.strip().lower().removeprefix("charset=").strip('"')
    if media_type.strip().lower() != "application/json" or charset not in ("", "utf-8"):
        raise HTTPException(415, "send the body as Content-Type: application/json in UTF-8")
    check_encoding(request)


def check_encoding(request: Request) -> None:
    """Raises HTTPException for 415."""
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise HTTPException(415, "send the body without Content-Encoding")
