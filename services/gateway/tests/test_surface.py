"""What is around the API: refusals of the framework, documents, health, metrics, headers."""

import re
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nope", 404, "not_found"),
        ("GET", "/api/v1/jobs/", 404, "not_found"),
        ("GET", "/api/v1/generate", 405, "method_not_allowed"),
        ("PUT", "/api/v1/jobs", 405, "method_not_allowed"),
        ("DELETE", "/health", 405, "method_not_allowed"),
    ],
)
async def test_routes_that_do_not_exist(
    client: httpx.AsyncClient, method: str, path: str, status: int, code: str
) -> None:
    answer = await client.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_an_error_of_ours_shows_no_details(
    house: Any, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("a secret detail")

    monkeypatch.setattr("edgecore_gateway.adapters.jobs.page", broken)
    answer = await client.get("/api/v1/jobs")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "secret" not in answer.text
    assert len(answer.headers["x-trace-id"]) == 32


async def test_the_openapi_document(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    request = document["paths"]["/api/v1/generate"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert request["properties"]["width"]["multipleOf"] == 16
    assert request["properties"]["frames"]["enum"] == [5, 9, 13, 17, 21, 25, 29, 33]
    assert {"JobStatus", "JobPage", "TransitionList", "Problem"} <= document["components"]["schemas"].keys()
    assert "HTTPValidationError" not in str(document)
    assert document["components"]["securitySchemes"]["ApiKey"]["scheme"] == "bearer"
    assert document["components"]["securitySchemes"]["Session"]["bearerFormat"] == "JWT"
    assert document["security"] == [{"ApiKey": []}, {"Session": []}]
    assert document["paths"]["/api/v1/auth/login"]["post"]["security"] == []


async def test_pages_for_people(client: httpx.AsyncClient) -> None:
    studio = await client.get("/")
    assert (studio.status_code, "EDGECORE Studio" in studio.text) == (200, True)
    assert "default-src 'none'" in studio.headers["content-security-policy"]
    for path in re.findall(r'(?:src|href)="([^"]+)"', studio.text):
        part = await client.get(path)
        assert part.status_code == 200, path
        unchanged = await client.get(path, headers={"If-None-Match": part.headers["etag"]})
        assert unchanged.status_code == 304
    assert (await client.get("/docs")).status_code == 200


async def test_health_and_metrics(client: httpx.AsyncClient) -> None:
    for path in ("/health", "/health/live", "/health/ready"):
        assert (await client.get(path)).json() == {"status": "ok", "failures": {}}
    await client.get("/api/v1/status/nothing")
    await client.request("TRACE", "/api/v1/jobs")
    metrics = (await client.get("/metrics")).text
    assert 'edgecore_http_requests_total{method="GET",route="/api/v1/status/{job_id}",status="404"}' in metrics
    assert 'method="OTHER"' in metrics
    assert "TRACE" not in metrics
    assert "edgecore_http_request_seconds_bucket" in metrics


async def test_a_gateway_without_analytics(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/v1/analytics/usage")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
