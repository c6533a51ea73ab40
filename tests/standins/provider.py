"""A stand-in for paid providers: the documented wire formats of Runway and Replicate, with their errors, limits
and slow answers, on one port.

    python -m tests.standins.provider --port 8099

What it should do wrong is said at run time: `PUT /standin/faults {"share": 0.6, "status": 503}`. What was ordered
can be read at `GET /standin/orders`. Videos are real ones, made when they are fetched.
"""

import argparse
import asyncio
import io
import itertools
import random
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import av
import numpy as np
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

FPS = 24
LONGEST_HANG_SECONDS = 120.0


class Faults(BaseModel):
    """What goes wrong; the defaults are a provider that works."""

    status: int = 0
    """Answer orders with this HTTP status."""
    share: float = 1.0
    """Of the orders that meet `status` or `fail`."""
    fail: bool = False
    """Accepted orders end as failed."""
    hang: bool = False
    """An order is taken and never answered."""
    seconds: float = 0.3
    """Until a video is ready."""
    file_seconds: float = 0.0
    """Until a finished video's file is sent."""
    retry_after: int = 1
    """Said with a 429."""
    looks_status: int = 0
    """Answer questions after a task with this status."""
    black: bool = False
    """Deliver black pictures."""


@dataclass
class Order:
    """One accepted order."""

    id: str
    provider: str
    prompt: str
    seconds: int
    width: int
    height: int
    placed: float
    will_fail: bool
    ready_after: float
    cancelled: bool = False
    black: bool = False

    def state(self, now: float) -> str:
        if self.cancelled:
            return "cancelled"
        if now - self.placed < self.ready_after:
            return "running"
        return "failed" if self.will_fail else "succeeded"


@dataclass
class Desk:
    """The stand-in's whole memory."""

    random: random.Random
    faults: Faults = field(default_factory=Faults)
    orders: dict[str, Order] = field(default_factory=dict)
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    async def take(self, provider: str, prompt: str, seconds: int, width: int, height: int) -> Order | Response:
        """A new order, or the answer that refuses it."""
        unlucky = self.random.random() < self.faults.share
        if unlucky and self.faults.status:
            headers = {"Retry-After": str(self.faults.retry_after)} if self.faults.status == 429 else {}
            words = {"error": "stand-in", "detail": "stand-in", "title": "stand-in", "status": self.faults.status}
            return JSONResponse(words, self.faults.status, headers)
        order = Order(
            id=f"00000000-0000-4000-8000-{next(self.numbers):012d}",
            provider=provider,
            prompt=prompt,
            seconds=seconds,
            width=width,
            height=height,
            placed=asyncio.get_running_loop().time(),
            will_fail=unlucky and self.faults.fail,
            ready_after=self.faults.seconds,
            black=self.faults.black,
        )
        self.orders[order.id] = order
        if self.faults.hang:
            await asyncio.sleep(LONGEST_HANG_SECONDS)
        return order


def create_app(seed: int = 0) -> FastAPI:
    app = FastAPI(openapi_url=None)
    desk = Desk(random.Random(seed))
    app.state.desk = desk

    def found(task: str) -> Order | Response:
        if desk.faults.looks_status:
            return JSONResponse({"error": "stand-in"}, desk.faults.looks_status)
        return desk.orders.get(task) or JSONResponse({"error": "no such task"}, 404)

    @app.put("/standin/faults")
    async def faults(wanted: Faults) -> Faults:
        desk.faults = wanted
        return wanted

    @app.get("/standin/orders")
    async def orders() -> list[dict[str, Any]]:
        now = asyncio.get_running_loop().time()
        return [asdict(order) | {"state": order.state(now)} for order in desk.orders.values()]

    @app.get("/files/{task}.mp4")
    async def file(task: str) -> Response:
        await asyncio.sleep(desk.faults.file_seconds)
        video = await asyncio.to_thread(make_video, desk.orders[task])
        return Response(video, media_type="video/mp4")

    # Runway: https://docs.dev.runwayml.com/api
    @app.post("/v1/text_to_video")
    async def runway_create(request: Request) -> Response:
        if not request.headers.get("authorization", "").startswith("Bearer "):
            return JSONResponse({"error": "unauthorized"}, 401)
        body = await request.json()
        width, height = (int(side) for side in body["ratio"].split(":"))
        order = await desk.take("runway", body["promptText"], int(body["duration"]), width, height)
        if isinstance(order, Response):
            return order
        return JSONResponse({"id": order.id, "estimatedCost": {"credits": 12 * order.seconds}})

    @app.get("/v1/tasks/{task}")
    async def runway_task(task: str, request: Request) -> Response:
        order = found(task)
        if isinstance(order, Response):
            return order
        now = asyncio.get_running_loop().time()
        state = order.state(now)
        answer: dict[str, Any] = {
            "id": order.id,
            "createdAt": datetime.now(UTC).isoformat(),
            "status": state.upper(),
        }
        if state == "running":
            fraction = min(1.0, (now - order.placed) / max(order.ready_after, 0.001))
            answer |= {"progress": fraction, "estimatedCost": {"credits": 12 * order.seconds}}
        elif state == "succeeded":
            url = f"{request.base_url}files/{order.id}.mp4"
            answer |= {"output": [url], "cost": {"credits": 12 * order.seconds}}
        elif state == "failed":
            answer |= {
                "failure": "the stand-in was told to fail",
                "failureCode": "INTERNAL",
                "cost": {"credits": 0},
            }
        else:
            answer |= {"cost": {"credits": 0}}
        return JSONResponse(answer)

    @app.delete("/v1/tasks/{task}")
    async def runway_cancel(task: str) -> Response:
        order = found(task)
        if isinstance(order, Response):
            return order
        order.cancelled = order.cancelled or order.state(asyncio.get_running_loop().time()) == "running"
        return Response(status_code=204)

    # Replicate: https://replicate.com/docs/reference/http
    @app.post("/v1/models/{owner}/{name}/predictions")
    async def replicate_create(owner: str, name: str, request: Request) -> Response:
        wanted = (await request.json())["input"]
        order = await desk.take("replicate", wanted["prompt"], int(wanted["duration"]), 1920, 1080)
        if isinstance(order, Response):
            return order
        return JSONResponse(prediction(order, f"{owner}/{name}", request), 201)

    @app.get("/v1/predictions/{task}")
    async def replicate_prediction(task: str, request: Request) -> Response:
        order = found(task)
        return order if isinstance(order, Response) else JSONResponse(prediction(order, "stand/in", request))

    @app.post("/v1/predictions/{task}/cancel")
    async def replicate_cancel(task: str, request: Request) -> Response:
        order = found(task)
        if isinstance(order, Response):
            return order
        order.cancelled = order.cancelled or order.state(asyncio.get_running_loop().time()) == "running"
        return JSONResponse(prediction(order, "stand/in", request))

    return app


def prediction(order: Order, model: str, request: Request) -> dict[str, Any]:
    """As Replicate writes one."""
    state = order.state(asyncio.get_running_loop().time())
    words = {"running": "processing", "cancelled": "canceled"}
    done = state == "succeeded"
    return {
        "id": order.id,
        "model": model,
        "version": "hidden",
        "status": words.get(state, state),
        "input": {"prompt": order.prompt},
        "output": f"{request.base_url}files/{order.id}.mp4" if done else None,
        "error": "the stand-in was told to fail" if state == "failed" else None,
        "logs": "",
        "metrics": {},
        "created_at": datetime.now(UTC).isoformat(),
        "urls": {},
    }


def make_video(order: Order) -> bytes:
    """H.264 of the ordered length: a bright square that wanders. A quarter of the ordered size, to be quick."""
    width, height = order.width // 4 // 2 * 2, order.height // 4 // 2 * 2
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        count = order.seconds * FPS
        for number in range(count):
            picture = np.zeros((height, width, 3), np.uint8)
            if not order.black:
                picture[:] = (40, 60, 90)
                left = (width - 40) * number // count
                picture[height // 3 : height // 3 + 40, left : left + 40] = (250, 220, 60)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8099)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    uvicorn.run(create_app(arguments.seed), host="127.0.0.1", port=arguments.port, log_level="warning")
