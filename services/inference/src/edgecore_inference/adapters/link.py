"""Fetching what a provider says is the video."""

from pathlib import Path
from urllib.parse import urlsplit

import httpx

from edgecore_contracts.states import Reason
from edgecore_inference.domain.outcome import AttemptFailed

READ_SECONDS = 30.0
BYTES_MAX = 2 * 2**30
TRIES = 3


async def fetch(url: str, path: Path, *, insecure: bool = False) -> int:
    """Write what `url` answers to `path`; returns its size. `insecure` allows http, for a provider that has it.

    A few tries; raises AttemptFailed. Bounded in bytes; a link to anything but the web is refused.
    """
    if urlsplit(url).scheme not in ({"https", "http"} if insecure else {"https"}):
        raise AttemptFailed(Reason.PROVIDER_ERROR, f"the provider's link is not https: {url[:80]!r}")
    failure: Exception | None = None
    for _ in range(TRIES):
        try:
            return await _fetch_once(url, path)
        except httpx.HTTPError as error:
            failure = error
    raise AttemptFailed(Reason.PROVIDER_ERROR, f"the video did not arrive: {failure!r}")


async def _fetch_once(url: str, path: Path) -> int:
    written = 0
    async with httpx.AsyncClient(timeout=READ_SECONDS) as http, http.stream("GET", url) as response:
        response.raise_for_status()
        with path.open("wb") as file:
            async for chunk in response.aiter_bytes():
                written += file.write(chunk)
                if written > BYTES_MAX:
                    raise AttemptFailed(Reason.PROVIDER_ERROR, f"the video is larger than {BYTES_MAX} bytes")
    return written
