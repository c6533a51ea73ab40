"""Signing in, refreshing and out; API keys and scopes; accounts; the audit; rates."""

import asyncio
import json
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import pytest_asyncio

from edgecore_contracts.errors import InvalidInput
from edgecore_gateway.adapters.keys import Keys
from edgecore_gateway.adapters.signing_keys import SigningKeys
from edgecore_gateway.bootstrap import build
from edgecore_gateway.domain.access_tokens import Claims
from edgecore_gateway.domain.api_keys import new_key, parse_key
from edgecore_gateway.domain.principal import Role, Scope
from edgecore_runtime.clock import FakeClock, SystemClock
from edgecore_runtime.ids import new_id
from edgecore_runtime.testing import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

WRONG = "wrong wrong wrong"
PASSWORD = "correct horse battery"
JSON = {"Content-Type": "application/json"}
PROMPT = {"prompt": "a red circle moving right"}


@pytest_asyncio.fixture(loop_scope="session")
async def admin(house: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with house.new_caller(role=Role.ADMIN) as one:
        yield one


async def new_user(admin: httpx.AsyncClient, **values: Any) -> dict[str, Any]:
    body = {"email": f"{new_id('u')}@example.org", "name": "Someone", "password": PASSWORD} | values
    answer = await admin.post("/api/v1/admin/users", json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def sign_in(url: str, email: str, password: str = PASSWORD) -> httpx.Response:
    async with httpx.AsyncClient(base_url=url, timeout=20) as anyone:
        return await anyone.post("/api/v1/auth/login", json={"email": email, "password": password})


async def refresh(url: str, token: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=url, timeout=20) as anyone:
        return await anyone.post("/api/v1/auth/refresh", json={"refresh_token": token})


@asynccontextmanager
async def bearer(url: str, credentials: str) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {credentials}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=20) as one:
        yield one


async def me(url: str, credentials: str) -> int:
    async with bearer(url, credentials) as one:
        return (await one.get("/api/v1/auth/me")).status_code


async def test_signing_in_gives_tokens_that_work(house: Any, admin: httpx.AsyncClient) -> None:
    user = await new_user(admin, email=f" {new_id('Mixed')}@Example.ORG ")
    assert user["email"] == user["email"].strip().lower()
    answer = await sign_in(house.url, user["email"].upper())
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    tokens = answer.json()
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 900)
    assert tokens["user"] == {name: user[name] for name in ("id", "email", "name", "role")}
    async with bearer(house.url, tokens["access_token"]) as one:
        assert (await one.get("/api/v1/auth/me")).json() == tokens["user"]
        assert (await one.post("/api/v1/generate", json=PROMPT)).status_code == 202
        assert len((await one.get("/api/v1/jobs")).json()["data"]) == 1
        assert (await one.get("/api/v1/admin/users")).status_code == 403


async def test_a_wrong_password_and_an_unknown_user_look_the_same(house: Any, admin: httpx.AsyncClient) -> None:
    user = await new_user(admin)
    wrong = await sign_in(house.url, user["email"], "not the password")
    unknown = await sign_in(house.url, "nobody@example.org")
    assert (wrong.status_code, wrong.json()) == (401, unknown.json())
    audit = (await admin.get("/api/v1/admin/audit", params={"action": "login", "limit": 2})).json()["data"]
    assert [(one["target"], one["actor"], one["outcome"]) for one in audit] == [
        ("nobody@example.org", None, "refused"),
        (user["email"], user["id"], "refused"),
    ]
    assert audit[0]["address"] == "127.0.0.1"


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"email": "x", "password": "y"},
        {"email": "a@b", "password": 5},
        {"email": "a@b\0", "password": "x"},
        {"email": "a@b", "password": "x" * 1000},
        {"email": "a@b", "password": "\ud800"},
        {"email": "a@b", "password": "x", "more": 1},
    ],
)
async def test_a_malformed_login(house: Any, body: Any) -> None:
    async with httpx.AsyncClient(base_url=house.url) as anyone:
        answer = await anyone.post("/api/v1/auth/login", content=json.dumps(body), headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")


async def test_refresh_tokens_rotate_and_reuse_ends_the_session(house: Any, admin: httpx.AsyncClient) -> None:
    user = await new_user(admin)
    first = (await sign_in(house.url, user["email"])).json()
    second = (await refresh(house.url, first["refresh_token"])).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert await me(house.url, second["access_token"]) == 200
    assert (await refresh(house.url, first["refresh_token"])).status_code == 401  # the theft is noticed
    assert (await refresh(house.url, second["refresh_token"])).status_code == 401  # and the whole family over
    assert await me(house.url, second["access_token"]) == 401
    audit = await admin.get("/api/v1/admin/audit", params={"action": "session.reuse", "actor": user["id"]})
    assert len(audit.json()["data"]) == 1
    other = (await sign_in(house.url, user["email"])).json()
    assert await me(house.url, other["access_token"]) == 200


async def test_of_two_uses_at_once_of_a_refresh_token_one_is_reuse(house: Any, admin: httpx.AsyncClient) -> None:
    user = await new_user(admin)
    token = (await sign_in(house.url, user["email"])).json()["refresh_token"]
    answers = await asyncio.gather(*(refresh(house.url, token) for _ in range(4)))
    assert sorted(one.status_code for one in answers) == [200, 401, 401, 401]


@pytest.mark.parametrize("token", ["", "edgr_x", "edgr_" + "a" * 43, "x" * 10_000])
async def test_an_unknown_refresh_token(house: Any, token: str) -> None:
    assert (await refresh(house.url, token)).status_code == 401


async def test_logout_ends_the_own_session_alone(house: Any, admin: httpx.AsyncClient) -> None:
    user, other = await new_user(admin), await new_user(admin)
    mine, theirs = [(await sign_in(house.url, one["email"])).json() for one in (user, other)]
    async with bearer(house.url, mine["access_token"]) as one:
        for token in (theirs["refresh_token"], "unknown", mine["refresh_token"]):
            gone = await one.post("/api/v1/auth/logout", json={"refresh_token": token})
            assert gone.status_code == 204
    assert await me(house.url, mine["access_token"]) == 401
    assert (await refresh(house.url, mine["refresh_token"])).status_code == 401
    assert await me(house.url, theirs["access_token"]) == 200


async def test_a_key_is_made_shown_once_listed_and_revoked(
    house: Any, client: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    answer = await client.post("/api/v1/keys", json={"name": "build"})
    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    made = answer.json()
    key = made.pop("key")
    assert (made["scopes"], made["shown"]) == (["generate", "read"], key[:10])
    listed = await client.get("/api/v1/keys")
    assert listed.json()["data"][0] == made
    assert key not in listed.text
    assert await me(house.url, key) == 200
    url = f"/api/v1/keys/{made['id']}"
    assert (await stranger.delete(url)).status_code == 404
    assert (await client.delete(url)).status_code == 204
    assert (await client.delete(url)).status_code == 404
    assert await me(house.url, key) == 401
    assert made not in (await client.get("/api/v1/keys")).json()["data"]


async def test_a_revoked_key_passes_no_longer_than_the_cache(house: Any, client: httpx.AsyncClient) -> None:
    made = (await client.post("/api/v1/keys", json={"name": "x"})).json()
    key, clock = parse_key(made["key"]), FakeClock()
    assert key is not None
    replica = Keys(house.database, clock, cache_seconds=5)
    assert await replica.principal(key) is not None
    assert (await client.delete(f"/api/v1/keys/{made['id']}")).status_code == 204
    clock.advance(4.9)
    assert await replica.principal(key) is not None
    clock.advance(0.1)
    assert await replica.principal(key) is None


@pytest.mark.parametrize(
    "body",
    [{}, {"name": ""}, {"name": "x" * 201}, {"name": "a\0"}, {"name": "x", "scopes": []}, {"name": "\ud800"}],
)
async def test_a_malformed_key(client: httpx.AsyncClient, body: Any) -> None:
    answer = await client.post("/api/v1/keys", content=json.dumps(body), headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")


async def test_an_unknown_scope_names_the_nearest(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/v1/keys", json={"name": "x", "scopes": ["reed"]})
    assert (answer.status_code, answer.json()["errors"][0]["nearest"]) == (422, "read")


async def test_scopes_bound_what_a_key_can_do(house: Any) -> None:
    async with house.new_caller(scopes=[Scope.READ]) as reader:
        assert (await reader.get("/api/v1/jobs")).status_code == 200
        assert (await reader.post("/api/v1/generate", json=PROMPT)).status_code == 403
        assert (await reader.get("/api/v1/keys")).status_code == 403
    async with house.new_caller(scopes=[Scope.GENERATE]) as submitter:
        assert (await submitter.post("/api/v1/generate", json=PROMPT)).status_code == 202
        assert (await submitter.get("/api/v1/jobs")).status_code == 403
        assert (await submitter.post("/api/v1/keys", json={"name": "x"})).status_code == 403
    async with house.new_caller(role=Role.ADMIN, scopes=[Scope.GENERATE, Scope.READ]) as modest:
        assert (await modest.get("/api/v1/admin/users")).status_code == 403


async def test_disabling_a_user_ends_sessions_and_stops_keys(house: Any, admin: httpx.AsyncClient) -> None:
    user = await new_user(admin)
    tokens = (await sign_in(house.url, user["email"])).json()
    async with bearer(house.url, tokens["access_token"]) as one:
        key = (await one.post("/api/v1/keys", json={"name": "x"})).json()["key"]
    url = f"/api/v1/admin/users/{user['id']}"
    disabled = (await admin.put(url, json={"disabled": True})).json()
    assert disabled["disabled_at"] is not None
    assert await me(house.url, tokens["access_token"]) == 401
    assert await me(house.url, key) == 401
    assert (await refresh(house.url, tokens["refresh_token"])).status_code == 401
    assert (await sign_in(house.url, user["email"])).status_code == 401
    assert (await admin.put(url, json={"disabled": True})).json() == disabled
    assert (await admin.put(url, json={"disabled": False})).json()["disabled_at"] is None
    assert await me(house.url, key) == 200
    assert await me(house.url, tokens["access_token"]) == 401  # a session that was ended stays so
    assert (await sign_in(house.url, user["email"])).status_code == 200


async def test_a_new_password_ends_the_sessions(house: Any, admin: httpx.AsyncClient) -> None:
    user = await new_user(admin)
    tokens = (await sign_in(house.url, user["email"])).json()
    change = {"password": "another one, quite long", "name": "Else", "role": "admin"}
    changed = (await admin.put(f"/api/v1/admin/users/{user['id']}", json=change)).json()
    assert (changed["name"], changed["role"]) == ("Else", "admin")
    assert await me(house.url, tokens["access_token"]) == 401
    assert (await sign_in(house.url, user["email"])).status_code == 401
    fresh = (await sign_in(house.url, user["email"], "another one, quite long")).json()
    async with bearer(house.url, fresh["access_token"]) as one:
        assert (await one.get("/api/v1/admin/users")).status_code == 200
        own = await one.put(f"/api/v1/admin/users/{user['id']}", json={"role": "user"})
        assert (own.status_code, own.json()["code"]) == (409, "conflict")
    (deed,) = (await admin.get("/api/v1/admin/audit", params={"action": "user.update", "limit": 1})).json()["data"]
    assert (deed["target"], deed["detail"]["password"]) == (user["id"], "changed")
    assert "quite long" not in str(deed)


async def test_what_an_account_cannot_be(admin: httpx.AsyncClient) -> None:
    user = await new_user(admin)
    good = {"email": "new@example.org", "name": "x", "password": PASSWORD}
    for change in ({"email": "x"}, {"password": "short"}, {"role": "root"}, {"name": ""}, {"role": None}):
        assert (await admin.post("/api/v1/admin/users", json=good | change)).status_code == 422, change
    taken = await admin.post("/api/v1/admin/users", json=good | {"email": user["email"].upper()})
    assert (taken.status_code, taken.json()["code"]) == (409, "conflict")
    assert (await admin.put("/api/v1/admin/users/user_nobody", json={"name": "x"})).status_code == 404
    assert (await admin.put(f"/api/v1/admin/users/{user['id']}", json={})).status_code == 422


async def test_lists_come_in_pages(admin: httpx.AsyncClient) -> None:
    made = [(await new_user(admin))["id"] for _ in range(3)]
    for path in ("/api/v1/admin/users", "/api/v1/admin/audit"):
        first = (await admin.get(path, params={"limit": 2})).json()
        second = (await admin.get(path, params={"limit": 2, "after": first["next"]})).json()
        ids = [one["id"] for one in first["data"] + second["data"]]
        assert (first["has_more"], ids) == (True, sorted(ids, reverse=True))
        assert len(set(ids)) == 4
    deeds = (await admin.get("/api/v1/admin/audit", params={"action": "user.create", "limit": 3})).json()["data"]
    assert [one["target"] for one in deeds] == made[::-1]
    assert (await admin.get("/api/v1/admin/audit", params={"limit": 0})).status_code == 422


async def test_signing_keys_rotate_with_overlap_and_every_replica_learns_of_them(house: Any) -> None:
    now = SystemClock().now()
    clock, slow = FakeClock(now), FakeClock(now)
    one = SigningKeys(house.database, clock, timedelta(days=30), 900)
    other = SigningKeys(house.database, slow, timedelta(days=30), 900)
    claims = Claims("user_1", "ses_1")
    clock.advance(400 * 86_400.0)  # beyond the keys of the other tests
    slow.advance(400 * 86_400.0)
    first = await one.sign(claims)
    assert await other.check(first) == claims
    for time in (clock, slow):
        time.advance(30 * 86_400.0)
    second = await one.sign(claims)
    assert first.split(".")[0] != second.split(".")[0]
    slow.advance(2.0)  # since it last looked
    assert await other.check(second) == claims
    replicas = [SigningKeys(house.database, clock, timedelta(days=30), 900) for _ in range(4)]
    more = await asyncio.gather(*(replica.sign(claims) for replica in replicas))
    assert {token.split(".")[0] for token in more} == {second.split(".")[0]}


async def test_a_users_rate(parts: Any, kit: SimpleNamespace, tmp_path: Path) -> None:
    limits = {"submits_per_minute": 2, "requests_per_minute": 3, "redis_url": parts.redis_url}
    settings = kit.settings_alone(tmp_path, **limits)
    still = FakeClock(SystemClock().now())  # no window ends in mid-test
    async with kit.alone(settings, still) as url, bearer(url, (tmp_path / "key").read_text().strip()) as one:
        answers = [await one.post("/api/v1/generate", json=PROMPT) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [202, 202, 429]
        assert answers[0].headers["ratelimit-policy"] == '"submits";q=2;w=60'
        assert answers[0].headers["ratelimit"].startswith('"submits";r=1;t=')
        assert answers[2].json()["code"] == "resource_exhausted"
        assert 0 < int(answers[2].headers["retry-after"]) <= 60
        looks = [(await one.get("/api/v1/jobs")).status_code for _ in range(4)]
        assert looks == [200, 200, 200, 429]


async def test_the_development_password_stays_and_a_lost_one_is_replaced(
    kit: SimpleNamespace, tmp_path: Path
) -> None:
    settings, file = kit.settings_alone(tmp_path), tmp_path / "password"
    passwords = []
    for lost in (False, False, True):
        if lost:
            file.unlink()
        async with kit.alone(settings) as url:
            passwords.append(file.read_text().strip())
            answer = await sign_in(url, "dev@edgecore.local", passwords[-1])
            user = answer.json()["user"]
            assert (user["id"], user["role"]) == ("user_dev", "admin")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert passwords[0] == passwords[1] != passwords[2]


async def test_the_first_administrator_of_a_cluster(kit: SimpleNamespace, tmp_path: Path) -> None:
    key = new_key().text
    named = {"admin_email": "Root@Example.org", "admin_password": PASSWORD, "admin_api_key": key}
    settings = kit.settings_alone(tmp_path, **named)
    assert PASSWORD not in repr(settings)
    assert key not in repr(settings)
    async with kit.alone(settings) as url, bearer(url, key) as one:

        async def made() -> bool:
            return (await one.get("/api/v1/auth/me")).status_code == 200

        await eventually(made)
        admin = (await sign_in(url, "root@example.org")).json()["user"]
        (mine,) = (await one.get("/api/v1/keys")).json()["data"]
        changed = await one.put(f"/api/v1/admin/users/{admin['id']}", json={"password": "quite another password"})
        assert changed.status_code == 200
        assert (await one.delete(f"/api/v1/keys/{mine['id']}")).status_code == 204
    async with kit.alone(settings) as url:  # what was changed since is left alone
        assert (await sign_in(url, "root@example.org")).status_code == 401
        again = await sign_in(url, "root@example.org", "quite another password")
        assert (again.status_code, again.json()["user"]["id"]) == (200, admin["id"])
        assert await me(url, key) == 401


@pytest.mark.parametrize(
    "wrong", [{"admin_email": "x"}, {"admin_password": "short"}, {"admin_api_key": "edge_mistyped"}]
)
async def test_an_administrator_that_cannot_be(
    kit: SimpleNamespace, tmp_path: Path, wrong: dict[str, str]
) -> None:
    good = {"admin_email": "a@example.org", "admin_password": PASSWORD}
    settings = kit.settings_alone(tmp_path, **good | wrong)
    with pytest.raises((InvalidInput, ValueError)):
        build(settings)
