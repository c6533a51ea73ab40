"""A file from the API, written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import httpx

from edgecore_sdk.errors import DownloadFailed, problem
from edgecore_sdk.retry import send


def save(http: httpx.Client, url: str, path: Path) -> Path:
    """Write what `url` answers to a temporary file beside `path`, then rename it."""
    response = send(http, http.build_request("GET", url), stream=True)
    try:
        if response.status_code >= 400:
            response.read()
            raise problem(response)
        handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        try:
            _write(handle, response)
            os.chmod(draft, 0o666 & ~_umask())
            os.replace(draft, path)
        except BaseException:
            os.unlink(draft)
            raise
    finally:
        response.close()
    return path


def _write(handle: int, response: httpx.Response) -> None:
    expected = int(response.headers.get("content-length", -1))
    written = 0
    with os.fdopen(handle, "wb") as file:
        try:
            for chunk in response.iter_bytes():
                written += file.write(chunk)
        except httpx.TransportError as error:
            raise DownloadFailed(f"the download broke after {written} bytes: {error}") from error
    if expected not in (-1, written):
        raise DownloadFailed(f"the download ended after {written} of {expected} bytes")


def _umask() -> int:
    """mkstemp makes files for their owner only; a video should be as readable as any new file."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
