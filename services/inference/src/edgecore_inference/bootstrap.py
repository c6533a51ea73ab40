"""The node, built in one place."""

import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from fastapi import FastAPI

from edgecore_inference.adapters.artifacts import Artifacts
from edgecore_inference.adapters.engine_supervisor import EngineSupervisor
from edgecore_inference.adapters.inputs import Inputs
from edgecore_inference.adapters.preview_stream import PreviewStream
from edgecore_inference.adapters.scheduler_stream import SchedulerStream
from edgecore_inference.adapters.scratch import Scratch
from edgecore_inference.entrypoints.attempt import Workshop
from edgecore_inference.entrypoints.engine_source import EngineSource
from edgecore_inference.entrypoints.reports import Condition, Identity, Reports
from edgecore_inference.entrypoints.session import Session
from edgecore_inference.entrypoints.work import Worker
from edgecore_inference.settings import Settings
from edgecore_runtime.clock import Clock, SystemClock
from edgecore_runtime.health import Health
from edgecore_runtime.http import HttpServer
from edgecore_runtime.objects import ObjectStore
from edgecore_runtime.service import Background, Service

ENGINE = (sys.executable, "-m", "edgecore_inference.engine")


def build(settings: Settings, clock: Clock | None = None, engine: Sequence[str] = ENGINE) -> Service:
    """`engine` is the program that holds the model; checkpoint and threads are its last arguments."""
    clock = clock or SystemClock()
    health = Health()
    node_id = settings.node_id or socket.gethostname()

    directory = Path(settings.scratch_directory) / f"inference-{node_id}"
    scratch = Scratch(directory)
    scratch.clear()
    store = ObjectStore(settings.object_store_url)
    engines = EngineSupervisor(
        [*engine, settings.checkpoint, str(settings.engine_threads)],
        settings.engine_start_seconds,
        settings.engine_grace_seconds,
    )
    previews = PreviewStream(settings.preview_address)
    inputs = Inputs(store, directory / "adapters")
    source = EngineSource(engines, inputs, previews, settings.preview_share, clock)
    workshop = Workshop(source, Artifacts(store), scratch, clock)

    reports = Reports(Identity(node_id, settings.pool), lambda: _condition(engines), clock)
    worker = Worker(workshop, reports)
    stream = SchedulerStream(settings.scheduler_address, reports, worker.heard, clock)
    session = Session(stream, worker, settings.drain_seconds, settings.engine_grace_seconds)

    health.ready |= {"engine": engines.problem, "scheduler": session.problem}
    app = FastAPI(title="EDGECORE inference node")
    app.include_router(health.router())
    http = HttpServer(app, settings.http_host, settings.http_port)
    # The engine is ready before the node registers: it never promises work that it cannot start.
    previewing = Background("preview stream", previews.run)
    return Service("inference", [http, engines, previewing, session], health, settings.drain_delay)


def _condition(engines: EngineSupervisor) -> Condition:
    ready = engines.ready
    return Condition(ready.device, (ready.model,), ready.memory_bytes, engines.peak_memory_bytes)
