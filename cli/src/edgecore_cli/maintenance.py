"""`edgecore outbox` and `edgecore dlq`: what an operator does after something went wrong."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.table import Table

from edgecore_cli.connection import Directory, running_stack
from edgecore_cli.errors import CommandFailed
from edgecore_cli.jobs import wide_console
from edgecore_cli.layout import WITH_OUTBOX

T = TypeVar("T")

REPLAY_DEADLINE_S = 300.0
KAFKA_DEADLINE_S = 60.0
PERIOD = re.compile(r"(\d+)([smhd])")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

outbox = typer.Typer(help="Publish events again that a broker has lost.", no_args_is_help=True)
dlq = typer.Typer(help="Look at dead letters, and hand them in again.", no_args_is_help=True)

Topic = Annotated[str | None, typer.Option(help="the topic they came from; by default every topic")]


@outbox.command("replay")
def outbox_replay(
    service: Annotated[list[str] | None, typer.Option(help="only this service; may be repeated")] = None,
    since: Annotated[str, typer.Option(help="a time (RFC 3339), or a period such as 30m, 2h, 1d")] = "1h",
    directory: Directory = Path("var"),
) -> None:
    """Publish every event since a point in time again. Consumers ignore those that they know."""
    start = parse_since(since, datetime.now(UTC))
    record = running_stack(directory)
    for name in service or WITH_OUTBOX:
        if name not in record.environment:
            raise CommandFailed(f"{name} has no outbox; those with one: {', '.join(record.environment)}")
        typer.echo(f"{name}: {_replay(name, start, record.environment[name])} events published again")


@dlq.command("list")
def dlq_list(topic: Topic = None, directory: Directory = Path("var")) -> None:
    """Show the events that a consumer has given up, and why."""
    from edgecore_runtime import dlq as dead_letters

    bootstrap = running_stack(directory).kafka_bootstrap
    columns = ("topic", "at", "time", "event", "type", "consumer", "tries", "reason")
    table = Table(*columns, box=None, pad_edge=False)
    for name in _topics_with_dead_letters(bootstrap, topic):
        for letter in _run(dead_letters.read(bootstrap, name)):
            at = f"{letter.partition}:{letter.offset}"
            parked = f"{datetime.fromtimestamp(letter.time / 1000).astimezone():%Y-%m-%d %H:%M:%S}"
            told = (letter.event_id, letter.event_type, letter.consumer, str(letter.attempts), letter.reason)
            table.add_row(letter.topic, at, parked, *told)
    if table.row_count:
        wide_console().print(table)
    else:
        typer.echo("no dead letters", err=True)


@dlq.command("replay")
def dlq_replay(
    topic: Topic = None,
    event_id: Annotated[str | None, typer.Option(help="only this event")] = None,
    directory: Directory = Path("var"),
) -> None:
    """Send dead letters to their topic again."""
    from edgecore_runtime import dlq as dead_letters

    bootstrap = running_stack(directory).kafka_bootstrap
    names = _topics_with_dead_letters(bootstrap, topic)
    count = sum(_run(dead_letters.replay(bootstrap, name, event_id)) for name in names)
    if event_id is not None and count == 0:
        raise CommandFailed(f"there is no dead letter with the event id {event_id}")
    typer.echo(f"{count} sent again")


def parse_since(text: str, now: datetime) -> datetime:
    """A period before `now`, or a time (without a zone: UTC). Raises CommandFailed."""
    period = PERIOD.fullmatch(text)
    if period is not None:
        return now - timedelta(**{UNITS[period[2]]: int(period[1])})
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise CommandFailed(f"--since takes a time such as 2026-01-31T12:00Z or 30m, not {text!r}") from None
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


def _replay(service: str, since: datetime, settings: dict[str, str]) -> str:
    """How many, as the service's own command says."""
    command = [sys.executable, "-m", f"edgecore_{service}", "outbox-replay", "--since", since.isoformat()]
    try:
        done = subprocess.run(  # noqa: S603 (our own module, no shell)
            command,
            env={**os.environ, **settings},
            capture_output=True,
            text=True,
            timeout=REPLAY_DEADLINE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CommandFailed(f"{service} did not finish its replay in {REPLAY_DEADLINE_S:.0f} s") from None
    if done.returncode != 0:
        raise CommandFailed(f"{service} could not replay its outbox", done.stderr.strip())
    return (done.stdout.split() or ["0"])[-1]


def _topics_with_dead_letters(bootstrap: str, topic: str | None) -> list[str]:
    """Names without the dead-letter suffix, of topics that have a dead-letter topic in the broker."""
    from edgecore_contracts.topics import DLQ_SUFFIX

    parked = [name.removesuffix(DLQ_SUFFIX) for name in _run(_topics(bootstrap)) if name.endswith(DLQ_SUFFIX)]
    return sorted(name for name in parked if topic is None or name == topic.removesuffix(DLQ_SUFFIX))


async def _topics(bootstrap: str) -> list[str]:
    from edgecore_runtime import kafka_clients

    async with kafka_clients.opened(kafka_clients.admin(bootstrap)) as admin:
        return list(await admin.list_topics())


def _run(work: Coroutine[Any, Any, T]) -> T:
    from aiokafka.errors import KafkaError

    async def bounded() -> T:
        async with asyncio.timeout(KAFKA_DEADLINE_S):
            return await work

    try:
        return asyncio.run(bounded())
    except (KafkaError, TimeoutError) as error:
        raise CommandFailed(f"the broker does not answer: {error or 'time-out'}") from None
