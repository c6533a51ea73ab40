"""Reading a request's JSON body: bounded in size and time, and never trusted."""

import asyncio
from typing import Any

from fastapi import Request
from starlette.exceptions import HTTPException

from edgecore_contracts.errors import PayloadTooLarge
from edgecore_gateway.domain import json_body
from edgecore_gateway.domain.json_body import MalformedJson

READ_SECONDS = 30.0
DISCARD_MOST = 32 * 1024 * 1024
"""A body over the limit is read to here and thrown away, so that its sender hears the answer."""


async def read_json(request: Request, most: int) -> Any:
    """The JSON value of the body, at most `most` bytes long.

    Raises PayloadTooLarge, and HTTPException for 400 (not JSON), 408 (too slow) and 415 (another type).
    """
    _check_type(request)
    try:
        async with asyncio.timeout(READ_SECONDS):
            raw = await _read(request, most)
    except TimeoutError as error:
        raise HTTPException(408, f"the body did not arrive within {READ_SECONDS:.0f} seconds") from error
    try:
        return json_body.parse(raw)
    except MalformedJson as error:
        raise HTTPException(400, str(error)) from error


async def _read(request: Request, most: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= most:
            chunks.append(chunk)
        else:
            chunks.clear()
        if size > DISCARD_MOST:
            break
    if size > most:
        raise PayloadTooLarge(f"the body may have at most {most} bytes")
    return b"".join(chunks)


def _check_type(request: Request) -> None:
    media_type, _, parameters = request.headers.get("content-type", "").partition(";")
    charset = parameters.strip().lower().removeprefix("charset=").strip('"')
    if media_type.strip().lower() != "application/json" or charset not in ("", "utf-8"):
        raise HTTPException(415, "send the body as Content-Type: application/json in UTF-8")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise HTTPException(415, "send the body without Content-Encoding")
