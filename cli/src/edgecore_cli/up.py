"""`edgecore up`: the whole platform on this machine, until Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from edgecore_cli.connection import Directory
from edgecore_cli.display import Display
from edgecore_cli.errors import CommandFailed
from edgecore_cli.keeper import EXIT_HOPELESS, READY_ATTEMPTS, Change, Phase
from edgecore_cli.layout import DATABASE, WITH_OUTBOX, Layout, Outside
from edgecore_cli.lock import StackLock
from edgecore_cli.record import ChildRecord, Record
from edgecore_cli.supervisor import Supervisor
from edgecore_runtime.embedded.part import PartFailed


def up(
    directory: Directory = Path("var"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="of the HTTP API; 0 takes a free one")] = 8080,
    without: Annotated[
        list[str] | None, typer.Option(help="leave this service out; may be repeated", metavar="SERVICE")
    ] = None,
    provider: Annotated[
        list[str] | None,
        typer.Option(help="a paid provider as the last resort: runway or replicate; may be repeated, in order"),
    ] = None,
    database_url: Annotated[
        str | None, typer.Option(help="use this PostgreSQL (postgresql+asyncpg://…), start none")
    ] = None,
    kafka: Annotated[str | None, typer.Option(help="use this Kafka (host:port), start none")] = None,
    redis_url: Annotated[str | None, typer.Option(help="use this Redis (redis://…), start none")] = None,
) -> None:
    """Run PostgreSQL, broker, Redis and the services here, until Ctrl-C. State stays in the directory."""
    directory = directory.resolve()
    with StackLock(directory) as lock:
        layout = Layout.plan(
            directory, port, without or (), provider or (), Outside(database_url, kafka, redis_url)
        )
        layout.make_folders()
        Record.remove(directory)
        try:
            asyncio.run(Stack(layout, lock).run())
        except PartFailed as failure:
            raise _explain(failure, directory / "logs" / f"{failure.name}.log") from None
        finally:
            Record.remove(directory)


def _explain(failure: PartFailed, log: Path) -> CommandFailed:
    """A child that knows why it cannot start says so in its last line; of the others, show the log's end."""
    lines = failure.log_tail.splitlines()
    if failure.exit_code in EXIT_HOPELESS and lines:
        return CommandFailed(f"{failure.name} cannot start: {lines[-1]} (log: {log})")
    message = f"{failure.name} {failure.reason}; given up after {READY_ATTEMPTS} tries (log: {log})"
    return CommandFailed(message, failure.log_tail)


class Stack:
    """One run of the local stack."""

    def __init__(self, layout: Layout, lock: StackLock) -> None:
        self._layout = layout
        self._children: dict[str, ChildRecord] = {}
        self._announced = False
        self._display = Display(Console(), [*(part.name for part in layout.parts()), *layout.http])
        self._supervisor = Supervisor(layout.directory / "logs", [lock.file], self._changed)

    async def run(self) -> None:
        """Until SIGINT, SIGTERM or SIGHUP; a second one kills. Raises PartFailed when a child is given up."""
        with self._display:
            working = asyncio.create_task(self._work())
            signals = 0

            def asked_to_end() -> None:
                nonlocal signals
                signals += 1
                working.cancel()
                if signals > 1:
                    self._supervisor.kill()

            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                asyncio.get_running_loop().add_signal_handler(number, asked_to_end)
            try:
                with suppress(asyncio.CancelledError):
                    await working
                self._display.say("stopping; once more to kill")
            finally:
                self._announced = False
                await self._supervisor.stop()

    async def _work(self) -> None:
        layout = self._layout
        await self._supervisor.start(layout.parts())
        if layout.outside.database_url is None:
            await layout.postgres.create_database(DATABASE)
        # Nodes leave before the scheduler does, so that it hears what became of their work.
        await self._supervisor.start(layout.services(), layout.nodes())
        self._announced = True
        self._write_record()
        self._display.ready(
            [
                ("Studio", f"{layout.url}/"),
                ("sign in", f"dev@edgecore.local, password in {layout.password_file}"),
                ("API", f"{layout.url}/api/v1"),
                ("docs", f"{layout.url}/docs"),
                ("metrics", f"{layout.url}/metrics"),
                ("key", str(layout.key_file)),
                ("logs", str(layout.directory / "logs")),
                ("end", "Ctrl-C; what was made stays, and the next `edgecore up` goes on with it"),
            ]
        )
        await self._supervisor.watch()

    def _changed(self, change: Change) -> None:
        ready = change.phase is Phase.READY
        self._children[change.name] = ChildRecord(change.pid, ready, change.restarts, str(change.log))
        if self._announced:
            self._write_record()
        self._display.change(change)

    def _write_record(self) -> None:
        layout = self._layout
        Record(
            pid=os.getpid(),
            url=layout.url,
            key_file=str(layout.key_file),
            password_file=str(layout.password_file),
            database_url=layout.database_url,
            kafka_bootstrap=layout.kafka_bootstrap,
            redis_url=layout.redis_url,
            environment={s.name: s.settings for s in layout.services() if s.name in WITH_OUTBOX},
            children=self._children,
        ).write(layout.directory)
