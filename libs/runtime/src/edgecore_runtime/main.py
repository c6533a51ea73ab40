"""The commands of every service: `python -m edgecore_<name> serve|migrate|outbox-replay|settings`."""

import argparse
import asyncio
import importlib
import os
import sys
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

import uvloop

from edgecore_runtime import crash, logs, settings, telemetry
from edgecore_runtime.http import AddressInUse
from edgecore_runtime.schema import Schema
from edgecore_runtime.service import Service
from edgecore_runtime.settings import DatabaseSettings, ServiceSettings

SettingsType = TypeVar("SettingsType", bound=ServiceSettings)


def run(
    name: str,
    settings_class: type[SettingsType],
    build: Callable[[SettingsType], Service],
    schema: Schema | None = None,
) -> None:
    """Parse the command line and do what it says; ends the process."""
    arguments = _parser(name, schema).parse_args()
    if arguments.command == "settings":
        print(settings.table(settings_class), end="")  # noqa: T201
        return
    loaded = settings.load(settings_class)
    logs.configure(name, loaded.log_level)
    telemetry.configure(name, loaded.otlp_endpoint, loaded.trace_file)
    crash.configure(name)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if arguments.command == "serve":
            sys.exit(runner.run(_serve(name, loaded, build, schema)))
        assert schema is not None
        assert isinstance(loaded, DatabaseSettings)
        if arguments.command == "migrate":
            runner.run(schema.migrate(loaded))
        else:
            print(runner.run(schema.replay(loaded, arguments.since)))  # noqa: T201


async def _serve(
    name: str, loaded: SettingsType, build: Callable[[SettingsType], Service], schema: Schema | None
) -> int:
    if os.environ.get("EDGECORE_PARENT_PIPE"):
        importlib.import_module("edgecore_runtime.embedded.process").exit_when_parent_dies()
    try:
        if schema is not None and isinstance(loaded, DatabaseSettings) and loaded.migrate_on_start:
            await schema.migrate(loaded)
        return await build(loaded).run()
    except AddressInUse as error:
        print(f"{name}: {error}", file=sys.stderr)  # noqa: T201
        return 4


def _parser(name: str, schema: Schema | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m edgecore_{name}", description=f"EDGECORE's {name} service.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="run until SIGTERM")
    commands.add_parser("settings", help="print every setting with default, unit and reason")
    if schema is not None:
        commands.add_parser("migrate", help="bring the database schema to the newest revision")
    if schema is not None and schema.outbox is not None:
        again = commands.add_parser("outbox-replay", help="publish sent events again; prints how many")
        again.add_argument("--since", type=datetime.fromisoformat, help="only events created from then (RFC 3339)")
    return parser
