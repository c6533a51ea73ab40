"""The auditor: reads everybody's books of money, and lists where they disagree."""

import asyncio

import asyncpg

TERMINAL = ("DELIVERED", "ERROR", "CANCELLED")
SETTLE_SECONDS = 90.0
"""How long after the last job's end the last line may come: a killed broker's events are published again first."""


async def audit(database_url: str, accepted: list[str]) -> list[str]:
    """What the books still disagree on when they have had time to settle."""
    connection = await asyncpg.connect(database_url.replace("+asyncpg", ""))
    try:
        deadline = asyncio.get_running_loop().time() + SETTLE_SECONDS
        while found := await disagreements(connection, accepted):
            if asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(0.5)
        return found
    finally:
        await connection.close()


async def disagreements(connection: asyncpg.Connection, accepted: list[str]) -> list[str]:
    """Every line of the ledger that is missing, doubled or different elsewhere; empty when the books are right.

    Checked: one CostPosted event per ledger line and no line without one; the gateway's and analytics' lines equal
    the ledger's; every attempt that was measured has its line; a user's spent sum is the ledger's; no reservation
    of a job that is over is still held.
    """
    ledger = await _lines(connection, "SELECT job_id, attempt, kind, amount FROM cost.ledger")
    gateway = await _lines(connection, "SELECT job_id, attempt, kind, amount FROM gateway.job_costs")
    analytics = await _lines(connection, "SELECT job_id, attempt, kind, micros FROM analytics.costs")
    posted = await connection.fetch(
        "SELECT key, count(*) AS times FROM cost.outbox WHERE headers->>'ce_type' = $1 GROUP BY key",
        "edgecore.cost.v1.CostPosted",
    )
    lines = {job: sum(1 for key in ledger if key[0] == job) for job in {key[0] for key in ledger}}
    found = [
        f"{row['key']}: {row['times']} events for {lines.get(row['key'], 0)} ledger lines"
        for row in posted
        if row["times"] != lines.get(row["key"], 0)
    ]
    found += _differences("the gateway", ledger, gateway) + _differences("analytics", ledger, analytics)
    found += [
        f"{job}: over, and costs nothing at all" for job in await _delivered(connection, accepted) - lines.keys()
    ]
    found += await _open_reservations(connection)
    spent = await connection.fetch("SELECT user_id, sum(spent) AS spent FROM cost.spending GROUP BY user_id")
    sums = await connection.fetch("SELECT user_id, sum(amount) AS spent FROM cost.ledger GROUP BY user_id")
    if {row["user_id"]: row["spent"] for row in spent} != {row["user_id"]: row["spent"] for row in sums}:
        found.append(f"spent {[tuple(row) for row in spent]}, the ledger says {[tuple(row) for row in sums]}")
    return found


async def _lines(connection: asyncpg.Connection, query: str) -> dict[tuple[str, int, str], int]:
    rows = await connection.fetch(query)
    return {(row[0], row[1], row[2].lower()): row[3] for row in rows}


def _differences(
    whose: str, ledger: dict[tuple[str, int, str], int], book: dict[tuple[str, int, str], int]
) -> list[str]:
    return [
        f"{key}: {ledger.get(key)} micros in the ledger, {book.get(key)} at {whose}"
        for key in ledger.keys() | book.keys()
        if ledger.get(key) != book.get(key)
    ]


async def _delivered(connection: asyncpg.Connection, accepted: list[str]) -> set[str]:
    rows = await connection.fetch(
        "SELECT id FROM gateway.jobs WHERE state = 'DELIVERED' AND id = ANY($1::text[])", accepted
    )
    return {row["id"] for row in rows}


async def _open_reservations(connection: asyncpg.Connection) -> list[str]:
    rows = await connection.fetch(
        "SELECT job_id FROM cost.reservations WHERE closed IS NULL AND state = 'SECURED'"
        " AND job_id IN (SELECT id FROM gateway.jobs WHERE state = ANY($1::text[]))",
        list(TERMINAL),
    )
    return [f"{row['job_id']}: over, and its reservation is still held" for row in rows]
