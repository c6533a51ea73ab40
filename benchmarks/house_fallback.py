"""A paid provider that is down, slow, refuses or fails, with another behind it: what becomes of the jobs.

No node of our own; Runway misbehaves, Replicate works; both stand-ins are driven through the official packages.
"""

import subprocess
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks.result import figure
from edgecore_cli.process import StackProcess, stack_process
from edgecore_sdk import Client, Job
from edgecore_sdk.errors import JobFailed
from tests.standins.process import ProviderStandin, provider_standin

JOBS = 6
SECONDS = 120.0
BREAKER_SECONDS = 60.0
SETTINGS = {
    "EDGECORE_FALLBACK_WAIT": "0",
    "EDGECORE_RETRY_PAUSE": "0.05",
    "EDGECORE_BREAKER_PAUSE": "2",
    "EDGECORE_ATTEMPT_TIME_LIMIT": "15",
}
SCENARIOS: dict[str, dict[str, Any]] = {
    "works": {},
    "answers 429": {"status": 429},
    "answers 503": {"status": 503},
    "fails 60 % of its tasks": {"fail": True, "share": 0.6},
    "is slower than the time limit": {"seconds": 60},
    "does not answer orders (504)": {"status": 504},
}


@dataclass
class Seen:
    """What one scenario led to."""

    delivered: Counter[str]
    errors: Counter[str]
    opened: bool
    paid: int


def run(seed: int) -> dict[str, Any]:
    """Scenario by scenario, with a breaker that closes again in between."""
    with (
        tempfile.TemporaryDirectory() as scratch,
        provider_standin(seed) as runway,
        provider_standin(seed) as replicate,
    ):
        environment = runway.environment() | {"REPLICATE_BASE_URL": replicate.url} | SETTINGS
        options = ["--without", "inference", "--provider", "runway", "--provider", "replicate"]
        with stack_process(Path(scratch) / "var", options, environment, subprocess.DEVNULL) as stack:
            seen, recovered = {}, []
            for name, faults in SCENARIOS.items():
                runway.faults(**faults)
                seen[name] = _scenario(stack, runway, replicate)
                print(f"{name}: delivered {dict(seen[name].delivered)}, errors {dict(seen[name].errors)}")
                runway.faults()
                recovered.append(_closed_again(stack))
            runway.process.kill()
            runway.process.wait()
            seen["is down"] = _scenario(stack, runway, replicate)
    return {"name": "house-fallback", "figures": _figures(seen, recovered), "notes": _notes(seen)}


def _scenario(stack: StackProcess, runway: ProviderStandin, replicate: ProviderStandin) -> Seen:
    before = _paid(runway) + _paid(replicate)
    delivered: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    opened = False
    with Client(stack.url, stack.api_key) as client:
        jobs = [client.generate("a red circle moving right", seed=number) for number in range(JOBS)]
        for job in jobs:
            try:
                done = client.wait(job.id, SECONDS)
                delivered[_made_by(stack, done)] += 1
            except JobFailed as failed:
                errors[failed.job.error.code if failed.job.error else failed.job.state] += 1
            opened = opened or _breaker(stack) != "closed"
    return Seen(delivered, errors, opened, _paid(runway) + _paid(replicate) - before)


def _made_by(stack: StackProcess, job: Job) -> str:
    decisions = _read(stack, f"/jobs/{job.id}/decisions")["data"]
    return str([one["backend"] for one in decisions if one["verdict"] == "chosen"][-1])


def _paid(standin: ProviderStandin) -> int:
    """Orders that the provider would bill: made, or still being made."""
    if standin.process.poll() is not None:
        return 0
    return sum(order["state"] in ("succeeded", "running") for order in standin.orders())


def _breaker(stack: StackProcess) -> str:
    providers = _read(stack, "/providers")["data"]
    return str(next(one["breaker"] for one in providers if one["backend"] == "runway"))


def _closed_again(stack: StackProcess) -> float:
    """Seconds until Runway's breaker is closed, with jobs to try it with."""
    began = time.monotonic()
    with Client(stack.url, stack.api_key) as client:
        while _breaker(stack) != "closed":
            if time.monotonic() - began > BREAKER_SECONDS:
                return float("inf")
            client.wait(client.generate("a blue square").id, SECONDS)
    return time.monotonic() - began


def _read(stack: StackProcess, path: str) -> Any:
    headers = {"Authorization": f"Bearer {stack.api_key}"}
    return httpx.get(f"{stack.url}/api/v1{path}", headers=headers).raise_for_status().json()


def _figures(seen: dict[str, Seen], recovered: list[float]) -> list[dict[str, Any]]:
    figures = []
    for name, one in seen.items():
        unclear = name.startswith("does not answer")
        count = one.errors["PROVIDER_UNCLEAR"] if unclear else one.delivered.total()
        what = f"Runway {name}: " + ("delivered, or ended as unclear" if unclear else "delivered")
        ended = one.delivered.total() + count if unclear else count
        figures.append(figure(what, ended, "jobs", target=str(JOBS), ok=ended == JOBS, n=JOBS))
    twice = sum(max(0, one.paid - one.delivered.total()) for name, one in seen.items() if name != "is down")
    opened = sum(one.opened for one in seen.values())
    slowest = max(recovered)
    return [
        *figures,
        figure(
            "orders paid for without a delivery", twice, "orders", target="0", ok=twice == 0, n=JOBS * len(seen)
        ),
        figure(
            "scenarios that opened the breaker", opened, "scenarios", target="≥ 4", ok=opened >= 4, n=len(seen)
        ),
        figure(
            "longest until it was closed again", slowest, "s", target="≤ 60", ok=slowest <= 60, n=len(recovered)
        ),
    ]


def _notes(seen: dict[str, Seen]) -> list[str]:
    return [
        f"Runway {name}: by {', '.join(f'{who} {count}' for who, count in one.delivered.items()) or 'nobody'}"
        + "".join(f"; {code} {count}" for code, count in one.errors.items())
        + f"; paid for {one.paid}"
        for name, one in seen.items()
    ]
