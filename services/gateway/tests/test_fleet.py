"""Nodes, pools, providers, models and decisions, against a stand-in for the scheduler over real gRPC."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import httpx
import pytest
import pytest_asyncio

from edgecore.scheduler.v1 import scheduler_pb2 as pb
from edgecore.scheduler.v1 import scheduler_pb2_grpc
from edgecore_contracts.cloudevents import timestamp
from edgecore_contracts.errors import NotFound
from edgecore_gateway.adapters import users
from edgecore_gateway.adapters.keys import add_key
from edgecore_gateway.adapters.tables import SCHEMA
from edgecore_gateway.domain.api_keys import new_key
from edgecore_gateway.domain.principal import ALL_SCOPES, Role
from edgecore_runtime.database import Database
from edgecore_runtime.grpc_server import GrpcServer

pytestmark = pytest.mark.asyncio(loop_scope="session")

AT = datetime(2026, 11, 21, 8, 0, 2, tzinfo=UTC)
JOB = {"prompt": "a red circle moving right"}
ROUTES = ["nodes", "pools", "providers", "models"]


class Scheduler(scheduler_pb2_grpc.SchedulerServiceServicer):
    """One node, one pool, one provider, and decisions by job id."""

    def __init__(self) -> None:
        self.node = pb.Node(
            node_id="local-0",
            pool="local",
            device="cpu",
            backend="aiprod",
            models=["aiprod-nano"],
            capacity=1,
            connected=True,
        )
        self.made: dict[str, list[pb.Decision]] = {}

    async def ListNodes(self, request: Any, context: Any) -> pb.ListNodesResponse:
        return pb.ListNodesResponse(nodes=[self.node])

    async def DrainNode(self, request: pb.DrainNodeRequest, context: Any) -> pb.DrainNodeResponse:
        if request.node_id != self.node.node_id:
            raise NotFound(f"no node is called {request.node_id!r}")
        self.node.draining = request.drain
        return pb.DrainNodeResponse(node=self.node)

    async def ListPools(self, request: Any, context: Any) -> pb.ListPoolsResponse:
        pool = pb.Pool(pool="local", backend="aiprod", queued=3, queued_seconds=7.5, nodes_ready=1, capacity=1)
        return pb.ListPoolsResponse(pools=[pool])

    async def ListProviders(self, request: Any, context: Any) -> pb.ListProvidersResponse:
        runway = pb.Provider(backend="runway", breaker=pb.BREAKER_STATE_OPEN, recent_attempts=5, recent_failures=3)
        runway.retry_at.CopyFrom(timestamp(AT))
        veo = pb.Provider(backend="veo", breaker=pb.BREAKER_STATE_CLOSED, nodes_ready=1)
        return pb.ListProvidersResponse(providers=[runway, veo])

    async def ExplainJob(self, request: pb.ExplainJobRequest, context: Any) -> pb.ExplainJobResponse:
        if request.job_id not in self.made:
            raise NotFound(f"the scheduler does not know job {request.job_id}")
        return pb.ExplainJobResponse(decisions=self.made[request.job_id])


class Gateway:
    """A gateway with its scheduler's stand-in, and callers."""

    def __init__(self, url: str, database: Database, scheduler: Scheduler, server: GrpcServer) -> None:
        self.scheduler = scheduler
        self.server = server
        self._url = url
        self._database = database

    @asynccontextmanager
    async def caller(self, role: Role = Role.USER) -> AsyncIterator[httpx.AsyncClient]:
        key, user_id = new_key(), f"user_{role}_{new_key().text[-8:]}"
        async with self._database.transaction() as session:
            await users.add(session, user_id, name="A test", role=role)
            await add_key(session, user_id, "A test", key, ALL_SCOPES)
        headers = {"Authorization": f"Bearer {key.text}"}
        base = f"{self._url}/api/v1/"
        async with httpx.AsyncClient(base_url=base, headers=headers, timeout=20) as client:
            yield client


@pytest_asyncio.fixture(loop_scope="session")
async def gateway(kit: SimpleNamespace, tmp_path: Path) -> AsyncIterator[Gateway]:
    scheduler = Scheduler()

    def register(server: grpc.aio.Server) -> None:
        scheduler_pb2_grpc.add_SchedulerServiceServicer_to_server(scheduler, server)

    server = GrpcServer("127.0.0.1", 0, [], register)
    await server.start()
    settings = kit.settings_alone(tmp_path, scheduler_address=f"127.0.0.1:{server.port}", key_cache=0)
    database = Database(settings.database_url, SCHEMA, 3)
    try:
        async with kit.alone(settings) as url:
            yield Gateway(url, database, scheduler, server)
    finally:
        await database.stop()
        await server.stop()


async def rows(client: httpx.AsyncClient, route: str) -> Any:
    answer = await client.get(route)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def test_what_can_run_and_where(gateway: Gateway) -> None:
    async with gateway.caller() as client:
        (node,) = await rows(client, "nodes")
        assert (node["id"], node["models"], node["connected"]) == ("local-0", ["aiprod-nano"], True)
        (pool,) = await rows(client, "pools")
        assert (pool["pool"], pool["queued"], pool["queued_seconds"]) == ("local", 3, 7.5)
        runway, veo = await rows(client, "providers")
        assert (runway["breaker"], runway["retry_at"]) == ("open", "2026-11-21T08:00:02.000Z")
        assert (veo["breaker"], veo["retry_at"]) == ("closed", None)
        (model,) = await rows(client, "models")
        assert (model["name"], model["available"]) == ("aiprod-nano", True)
        assert model["limits"]["side_multiple"] == 16
        assert (model["limits"]["variants"], model["limits"]["motion_max"]) == (["standard", "distilled"], 16.0)
        assert "name" not in model["limits"]
        assert model["defaults"]["frames"] == 17


async def test_an_administrator_drains_a_node(gateway: Gateway) -> None:
    async with gateway.caller(Role.ADMIN) as admin, gateway.caller() as client:
        answer = await admin.post("nodes/local-0/drain", json={"drain": True})
        assert (answer.status_code, answer.json()["draining"]) == (200, True)
        (model,) = await rows(client, "models")
        assert model["available"] is False
        answer = await admin.post("nodes/local-0/drain", json={"drain": False})
        assert answer.json()["draining"] is False
        assert (await admin.post("nodes/other/drain", json={"drain": True})).status_code == 404
        for body in ({}, {"drain": "yes"}, {"drain": True, "more": 1}):
            assert (await admin.post("nodes/local-0/drain", json=body)).status_code == 422
        refused = await client.post("nodes/local-0/drain", json={"drain": True})
        assert refused.status_code == 403
        assert not gateway.scheduler.node.draining


async def test_a_jobs_decisions_are_its_owners(gateway: Gateway) -> None:
    async with gateway.caller() as owner, gateway.caller() as stranger:
        job_id = (await owner.post("generate", json=JOB)).json()["id"]
        assert await rows(owner, f"jobs/{job_id}/decisions") == []
        gateway.scheduler.made[job_id] = [
            pb.Decision(
                number=1,
                attempt=1,
                backend="aiprod",
                node_id="local-0",
                verdict=pb.VERDICT_CHOSEN,
                code="first_choice",
                detail="local-0 runs aiprod-nano",
                decided_at=timestamp(AT),
            )
        ]
        assert await rows(owner, f"jobs/{job_id}/decisions") == [
            {
                "number": 1,
                "attempt": 1,
                "backend": "aiprod",
                "node": "local-0",
                "verdict": "chosen",
                "code": "first_choice",
                "detail": "local-0 runs aiprod-nano",
                "decided_at": "2026-11-21T08:00:02.000Z",
            }
        ]
        assert (await stranger.get(f"jobs/{job_id}/decisions")).status_code == 404
        assert (await owner.get("jobs/job_none/decisions")).status_code == 404


async def test_while_the_scheduler_is_away_the_answer_says_so(gateway: Gateway) -> None:
    await gateway.server.stop()
    async with gateway.caller() as client:
        job_id = (await client.post("generate", json=JOB)).json()["id"]
        for route in ("nodes", "pools", "providers", f"jobs/{job_id}/decisions"):
            answer = await client.get(route)
            assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        (model,) = await rows(client, "models")
        assert model["available"] is None


@pytest.mark.parametrize("route", ROUTES)
async def test_nobody_looks_without_a_key(gateway: Gateway, route: str) -> None:
    async with gateway.caller() as client:
        assert (await client.get(route, headers={"Authorization": ""})).status_code == 401


async def test_a_deployment_without_a_scheduler_says_so(kit: SimpleNamespace, tmp_path: Path) -> None:
    settings = kit.settings_alone(tmp_path, scheduler_address="")
    async with kit.alone(settings) as url, httpx.AsyncClient(base_url=url) as client:
        key = (tmp_path / "key").read_text().strip()
        answer = await client.get("/api/v1/nodes", headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == 503
