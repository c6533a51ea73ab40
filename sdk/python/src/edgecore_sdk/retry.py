"""Sending a request, and repeating it where that is safe."""

from __future__ import annotations

import httpx
import stamina

from edgecore_sdk.errors import Unreachable

ATTEMPTS = 6
FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 2.0
JITTER_S = 0.2
TOTAL_S = 15.0

# The server has not seen such a request, so that repeating it cannot do a thing twice.
NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class _Busy(Exception):
    """503: the server refused the request before doing anything."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__()
        self.response = response


def send(http: httpx.Client, request: httpx.Request, *, stream: bool = False) -> httpx.Response:
    """The answer, whatever its status. Raises Unreachable when there is none after some tries.

    A GET is repeated after any failure of the connection; a POST only when it was never sent. A 503
    repeats both.
    """
    again = httpx.TransportError if request.method == "GET" else NEVER_SENT
    try:
        for attempt in stamina.retry_context(
            on=(_Busy, *again) if isinstance(again, tuple) else (_Busy, again),
            attempts=ATTEMPTS,
            timeout=TOTAL_S,
            wait_initial=FIRST_WAIT_S,
            wait_max=LONGEST_WAIT_S,
            wait_jitter=JITTER_S,
        ):
            with attempt:
                response = http.send(request, stream=stream)
                if response.status_code == 503:
                    response.read()
                    raise _Busy(response)
                return response
    except _Busy as busy:
        return busy.response
    except httpx.TransportError as error:
        raise Unreachable(_explain(request, error)) from error
    raise AssertionError("retry_context ends with an answer or an exception")


def _explain(request: httpx.Request, error: httpx.TransportError) -> str:
    where = f"{request.url.scheme}://{request.url.netloc.decode()}"
    if isinstance(error, NEVER_SENT):
        return f"no answer from {where}: {error or 'cannot connect'}"
    doubt = "" if request.method == "GET" else "; whether the request took effect is unknown"
    return f"the connection to {where} broke: {error or type(error).__name__}{doubt}"
