"""`python forking_program.py N`: starts N children beside gRPC calls that never pause; prints how they ended."""

import edgecore_inference  # noqa: F401, I001  (first, as every command of the node does)

import asyncio
import json
import sys
from collections import Counter

import uvloop
from grpc_health.v1 import health_pb2, health_pb2_grpc

from edgecore_runtime.grpc_client import channel
from edgecore_runtime.grpc_server import GrpcServer


async def main(children: int) -> None:
    server = GrpcServer("127.0.0.1", 0, [], lambda _: None)  # it answers for its health
    await server.start()
    connection = channel(f"127.0.0.1:{server.port}")
    stub = health_pb2_grpc.HealthStub(connection)

    async def talk() -> None:
        while True:
            await stub.Check(health_pb2.HealthCheckRequest(), timeout=30)

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
