"""The history checker: reads databases, topics' sources and artifacts, and lists everything that must not be."""

import hashlib
import json
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from edgecore_contracts.states import JobState, check_transition

TERMINAL = {state.value for state in JobState if state.terminal}


async def violations(database_url: str, artifacts: Path, accepted: list[str]) -> list[str]:
    """Every broken promise in words; empty when all is well.

    Checked for each accepted job: it exists; it has exactly one terminal state, the last; versions without gaps
    and only transitions of the table; the gateway's projection and history equal the scheduler's; no lease is
    left; every attempt is closed, one succeeded if and only if it was delivered, one DELIVERED event; the
    artifact's bytes have the recorded hash.
    """
    parts = urlsplit(database_url.replace("+asyncpg", ""))
    connection = await asyncpg.connect(parts.geturl())
    try:
        found: list[str] = []
        for job_id in dict.fromkeys(accepted):
            found += [f"{job_id}: {problem}" for problem in await _job(connection, artifacts, job_id)]
        found += [
            f"lease left behind: {row['id']}" for row in await connection.fetch("SELECT id FROM scheduler.leases")
        ]
        return found
    finally:
        await connection.close()


async def _job(connection: asyncpg.Connection, artifacts: Path, job_id: str) -> list[str]:
    problems: list[str] = []
    history = await connection.fetch(
        "SELECT version, source, target FROM scheduler.transitions WHERE job_id = $1 ORDER BY version", job_id
    )
    projected = await connection.fetch(
        "SELECT version, from_state AS source, to_state AS target FROM gateway.job_transitions"
        " WHERE job_id = $1 ORDER BY version",
        job_id,
    )
    shown = await connection.fetchrow("SELECT state, version, artifact FROM gateway.jobs WHERE id = $1", job_id)
    if shown is None or not history:
        return ["lost"]
    if [row["version"] for row in history] != list(range(1, len(history) + 1)):
        problems.append("versions have gaps")
    for row in history:
        try:
            check_transition(JobState(row["source"]), JobState(row["target"]))
        except ValueError as error:
            problems.append(str(error))
    ends = [row["target"] for row in history if row["target"] in TERMINAL]
    if len(ends) != 1 or history[-1]["target"] not in TERMINAL:
        problems.append(f"terminal states: {ends}")
    if [tuple(row) for row in history] != [tuple(row) for row in projected]:
        problems.append("the gateway's history is not the scheduler's")
    if (shown["state"], shown["version"]) != (history[-1]["target"], history[-1]["version"]):
        problems.append(f"the gateway shows {shown['state']} v{shown['version']}")
    problems += await _attempts(connection, job_id, delivered=shown["state"] == "DELIVERED")
    if shown["state"] == "DELIVERED":
        problems += _artifact(artifacts, shown["artifact"])
    return problems


async def _attempts(connection: asyncpg.Connection, job_id: str, delivered: bool) -> list[str]:
    rows = await connection.fetch("SELECT attempt, outcome FROM scheduler.attempts WHERE job_id = $1", job_id)
    outcomes = Counter(row["outcome"] for row in rows)
    problems = []
    if outcomes[None]:
        problems.append("an attempt was never closed")
    if outcomes["SUCCEEDED"] != int(delivered):
        problems.append(f"{outcomes['SUCCEEDED']} attempts succeeded, delivered: {delivered}")
    return problems


def _artifact(artifacts: Path, recorded: str) -> list[str]:
    artifact = json.loads(recorded)
    path = artifacts / artifact["key"]
    if not path.is_file():
        return ["its video is missing"]
    if hashlib.sha256(path.read_bytes()).hexdigest() != artifact["sha256"]:
        return ["its video is not the one recorded"]
    return []
