"""A job's pictures while it is made: a stream of server-sent events that is opened again whenever it breaks."""

from __future__ import annotations

import base64
import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import httpx

from edgecore_sdk.errors import ServerFault, problem
from edgecore_sdk.retry import send

# An idle stream carries a comment every 15 s.
SILENCE_S = 45.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0


@dataclass(frozen=True)
class PreviewFrame:
    """The model's estimate of picture `frame` (from 0) of `frames`, after `step` of `steps`; `data` is the file.

    `number` grows within a job over all its attempts; `skipped` frames before it were left out, because this
    viewer was slower than they came.
    """

    number: int
    attempt: int
    step: int
    steps: int
    frame: int
    frames: int
    width: int
    height: int
    media_type: str
    made_at: datetime
    skipped: int
    data: bytes


@dataclass(frozen=True)
class PreviewEnd:
    """The job is over: DELIVERED, ERROR or CANCELLED."""

    state: str


PreviewEvent = PreviewFrame | PreviewEnd


def follow(http: httpx.Client, path: str, after: int) -> Iterator[PreviewEvent]:
    """Frames above number `after`, then PreviewEnd, after which it stops.

    Raises Unreachable when the API does not answer for a while, and the ApiErrors.
    """
    pause_s = FIRST_PAUSE_S
    while True:
        request = http.build_request("GET", path, params={"after": after}, timeout=SILENCE_S)
        response = send(http, request, stream=True)
        try:
            if response.status_code >= 400:
                response.read()
                raise problem(response)
            for event in _events(response):
                yield event
                if isinstance(event, PreviewEnd):
                    return
                after, pause_s = event.number, FIRST_PAUSE_S
        except httpx.TransportError:
            pass  # the connection broke: go on behind the last number
        finally:
            response.close()
        time.sleep(pause_s * random.uniform(0.5, 1.0))
        pause_s = min(pause_s * 2, LONGEST_PAUSE_S)


def _events(response: httpx.Response) -> Iterator[PreviewEvent]:
    """One answer's events (html.spec.whatwg.org/multipage/server-sent-events.html); unknown ones are skipped."""
    name, data = "", ""
    for line in response.iter_lines():
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            data += value
        elif not line:
            if name in ("frame", "end"):
                yield _parse(name, data, response)
            name, data = "", ""


def _parse(name: str, data: str, response: httpx.Response) -> PreviewEvent:
    try:
        body = json.loads(data)
        if name == "end":
            return PreviewEnd(str(body["state"]))
        return PreviewFrame(
            number=int(body["number"]),
            attempt=int(body["attempt"]),
            step=int(body["step"]),
            steps=int(body["steps"]),
            frame=int(body["frame"]),
            frames=int(body["frames"]),
            width=int(body["width"]),
            height=int(body["height"]),
            media_type=str(body["media_type"]),
            made_at=datetime.fromisoformat(body["made_at"]),
            skipped=int(body["skipped"]),
            data=base64.b64decode(body["data"], validate=True),
        )
    except (KeyError, TypeError, ValueError) as error:
        detail = f"an event of {response.request.url.path} is not what the API promises ({error!r})"
        raise ServerFault(response.status_code, "unexpected_answer", detail) from error
