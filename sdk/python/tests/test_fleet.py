"""Nodes, pools, providers, models and decisions as the gateway sends them."""

import json
from datetime import UTC, datetime

import httpx
import pytest

from edgecore_sdk import Client, ServerFault

NODE = {
    "id": "runway-0",
    "pool": "runway",
    "backend": "runway",
    "device": "api",
    "models": [],
    "capacity": 2,
    "running": 1,
    "connected": True,
    "draining": False,
}
ANSWERS: dict[str, list[dict[str, object]]] = {
    "/api/v1/nodes": [NODE],
    "/api/v1/pools": [
        {
            "pool": "local",
            "backend": "aiprod",
            "queued": 3,
            "queued_seconds": 7.5,
            "running": 1,
            "nodes_ready": 1,
            "nodes_draining": 0,
            "capacity": 1,
            "a_field_of_tomorrow": True,
        }
    ],
    "/api/v1/providers": [
        {
            "backend": "runway",
            "breaker": "open",
            "nodes_ready": 1,
            "recent_attempts": 5,
            "recent_failures": 3,
            "retry_at": "2026-11-21T08:00:02.000Z",
        }
    ],
    "/api/v1/models": [
        {
            "name": "aiprod-nano",
            "backend": "aiprod",
            "available": None,
            "limits": {"side_max": 128},
            "defaults": {},
        }
    ],
    "/api/v1/jobs/j1/decisions": [
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
    ],
    "/api/v1/jobs/j2/decisions": [{"number": 1}],
}


def gateway(request: httpx.Request) -> httpx.Response:
    if request.method == "POST":
        return httpx.Response(200, json=NODE | {"draining": json.loads(request.content)["drain"]})
    return httpx.Response(200, json={"data": ANSWERS[request.url.path]})


@pytest.fixture
def client() -> Client:
    return Client("http://test", "edge_key", transport=httpx.MockTransport(gateway))


def test_what_can_run_and_where(client: Client) -> None:
    (node,) = client.nodes()
    assert (node.id, node.models, node.running) == ("runway-0", (), 1)
    (pool,) = client.pools()
    assert (pool.queued, pool.queued_seconds) == (3, 7.5)
    (provider,) = client.providers()
    assert (provider.breaker, provider.retry_at) == ("open", datetime(2026, 11, 21, 8, 0, 2, tzinfo=UTC))
    (model,) = client.models()
    assert (model.available, model.limits["side_max"]) == (None, 128)


def test_a_node_is_drained_and_let_work_again(client: Client) -> None:
    assert client.drain("runway-0").draining
    assert not client.drain("runway-0", drain=False).draining


def test_why_a_job_ran_where_it_ran(client: Client) -> None:
    (decision,) = client.decisions("j1")
    assert (decision.node, decision.code) == ("local-0", "first_choice")
    with pytest.raises(ServerFault, match="not what the API promises"):
        client.decisions("j2")
