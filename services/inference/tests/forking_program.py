"""`python forking_program.py N`: starts N children beside gRPC calls that never pause; prints how they ended."""

import edgecore_inference  # noqa: F401, I001  (first, as every command of the node does)

import asyncio
import json
import sys
from collections import Counter
from typing import Any

import grpc
import uvloop

from edgecore.scheduler.v1 import scheduler_pb2, scheduler_pb2_grpc
from edgecore_runtime.grpc_client import channel
from edgecore_runtime.grpc_server import GrpcServer


class Scheduler(scheduler_pb2_grpc.SchedulerServiceServicer):
    async def GetProgress(
        self, request: scheduler_pb2.GetProgressRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> scheduler_pb2.GetProgressResponse:
        return scheduler_pb2.GetProgressResponse()


async def main(children: int) -> None:
    server = GrpcServer(
        "127.0.0.1",
        0,
        [],
        lambda grpc_server: scheduler_pb2_grpc.add_SchedulerServiceServicer_to_server(Scheduler(), grpc_server),
    )
    await server.start()
    connection = channel(f"127.0.0.1:{server.port}")
    stub = scheduler_pb2_grpc.SchedulerServiceStub(connection)

    async def talk() -> None:
        while True:
            await stub.GetProgress(scheduler_pb2.GetProgressRequest(job_id="job"), timeout=30)

    talking = [asyncio.create_task(talk()) for _ in range(4)]
    ends: Counter[int] = Counter()
    for _ in range(children):
        child = await asyncio.create_subprocess_exec("true")
        ends[await child.wait()] += 1
    for task in talking:
        task.cancel()
    await asyncio.gather(*talking, return_exceptions=True)
    await connection.close()
    await server.stop()
    sys.stdout.write(json.dumps(ends))


uvloop.run(main(int(sys.argv[1])))
