"""Failed logins: how many an account and an address may have, and what is none of the caller's."""

import asyncio
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from sqlalchemy import text

from edgecore_gateway.adapters.tables import SCHEMA
from edgecore_runtime.clock import FakeClock, SystemClock
from edgecore_runtime.database import Database

pytestmark = pytest.mark.asyncio(loop_scope="session")

WRONG = "wrong wrong wrong"
DEV = "dev@edgecore.local"


async def log_in(url: str, email: str, address: str, password: str = WRONG) -> httpx.Response:
    body = {"email": email, "password": password}
    async with httpx.AsyncClient(base_url=url, timeout=20) as anyone:
        headers = {"X-Forwarded-For": f"6.6.6.6, {address}"}
        return await anyone.post("/api/v1/auth/login", json=body, headers=headers)


async def test_failed_logins_are_throttled_by_account_and_by_address(kit: SimpleNamespace, tmp_path: Path) -> None:
    limits = {"account_failures": 2, "address_failures": 5, "forwarded_hops": 1}
    still = FakeClock(SystemClock().now())  # no window ends in mid-test
    async with kit.alone(kit.settings_alone(tmp_path, **limits), still) as url:
        password = (tmp_path / "password").read_text().strip()
        for _ in range(5):
            assert (await log_in(url, DEV, "10.0.0.1", password)).status_code == 200  # a success is not counted
        answers = await asyncio.gather(*(log_in(url, DEV, f"10.0.1.{number}") for number in range(6)))
        assert sorted(one.status_code for one in answers) == [401, 401, 429, 429, 429, 429]
        refused = await log_in(url, DEV, "10.0.0.1", password)
        assert (refused.status_code, refused.json()["code"]) == (429, "resource_exhausted")
        assert 0 < int(refused.headers["retry-after"]) <= 300
        codes = [(await log_in(url, f"{number}@example.org", "10.0.0.9")).status_code for number in range(7)]
        assert codes == [401] * 5 + [429] * 2


async def test_a_login_that_nobody_could_judge_is_no_failure_of_the_callers(
    kit: SimpleNamespace, tmp_path: Path
) -> None:
    settings = kit.settings_alone(tmp_path, account_failures=1, forwarded_hops=1)
    database = Database(settings.database_url, SCHEMA, 4)

    async def rename(old: str, new: str) -> None:
        async with database.transaction() as session:
            await session.execute(text(f"ALTER TABLE {SCHEMA}.{old} RENAME TO {new}"))

    try:
        async with kit.alone(settings) as url:
            password = (tmp_path / "password").read_text().strip()
            await rename("users", "away")
            broken = [(await log_in(url, DEV, "10.0.0.1", password)).status_code for _ in range(2)]
            await rename("away", "users")
            assert broken == [500] * 2
            assert (await log_in(url, DEV, "10.0.0.1", password)).status_code == 200
    finally:
        await database.stop()
