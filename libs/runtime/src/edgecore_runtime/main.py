"""The commands of every service: `python -m edgecore_<name> serve|migrate|outbox-replay|settings`."""

import argparse
import asyncio
import importlib
import os
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

from edgecore_runtime import crash, logs, settings, telemetry
from edgecore_runtime.http import AddressInUse
from edgecore_runtime.service import Service
from edgecore_runtime.settings import ServiceSettings

SettingsType = TypeVar("SettingsType", bound=ServiceSettings)
Command = Callable[[SettingsType], Awaitable[None]]
Replay = Callable[[SettingsType, datetime | None], Awaitable[int]]


def run(
    name: str,
    settings_class: type[SettingsType],
    build: Callable[[SettingsType], Service],
    migrate: Command[SettingsType] | None = None,
    replay: Replay[SettingsType] | None = None,
    new_loop: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> None:
    """Parse the command line and do what it says; ends the process. `new_loop` is for `serve` (uvloop's, say)."""
    arguments = _parser(name, migrate is not None, replay is not None).parse_args()
    if arguments.command == "settings":
        print(settings.table(settings_class), end="")  # noqa: T201
        return
    loaded = settings.load(settings_class)
    logs.configure(name, loaded.log_level)
    telemetry.configure(name, loaded.otlp_endpoint, loaded.trace_file)
    crash.configure(name)
    if arguments.command == "migrate" and migrate is not None:
        asyncio.run(_finish(migrate(loaded)))
    elif arguments.command == "outbox-replay" and replay is not None:
        print(asyncio.run(replay(loaded, arguments.since)))  # type: ignore[arg-type]  # noqa: T201
    else:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            status = runner.run(_serve(name, loaded, build, migrate))
        sys.exit(status)


async def _serve(
    name: str,
    loaded: SettingsType,
    build: Callable[[SettingsType], Service],
    migrate: Command[SettingsType] | None,
) -> int:
    if os.environ.get("EDGECORE_PARENT_PIPE"):
        importlib.import_module("edgecore_runtime.embedded.process").exit_when_parent_dies()
    try:
        if migrate is not None and getattr(loaded, "migrate_on_start", False):
            await migrate(loaded)
        return await build(loaded).run()
    except AddressInUse as error:
        print(f"{name}: {error}", file=sys.stderr)  # noqa: T201
        return 4


async def _finish(work: Awaitable[None]) -> None:
    await work


def _parser(name: str, migrates: bool, replays: bool) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m edgecore_{name}", description=f"EDGECORE's {name} service.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="run until SIGTERM")
    commands.add_parser("settings", help="print every setting with default, unit and reason")
    if migrates:
        commands.add_parser("migrate", help="bring the database schema to the newest revision")
    if replays:
        again = commands.add_parser("outbox-replay", help="publish sent events again; prints how many")
        again.add_argument("--since", type=datetime.fromisoformat, help="only events created from then (RFC 3339)")
    return parser
