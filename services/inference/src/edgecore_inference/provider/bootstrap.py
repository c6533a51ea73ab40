"""The provider node, built in one place: the same agent as any node's, with another source of videos."""

from pathlib import Path

from fastapi import FastAPI

from edgecore_inference.adapters.artifacts import Artifacts
from edgecore_inference.adapters.providers import Provider
from edgecore_inference.adapters.scheduler_stream import SchedulerStream
from edgecore_inference.adapters.scratch import Scratch
from edgecore_inference.adapters.task_book import TaskBook
from edgecore_inference.entrypoints.attempt import Workshop
from edgecore_inference.entrypoints.provider_source import WITHDRAW_SECONDS, ProviderSource
from edgecore_inference.entrypoints.reports import Condition, Identity, Reports
from edgecore_inference.entrypoints.session import Session
from edgecore_inference.entrypoints.work import Worker
from edgecore_inference.provider.settings import Settings
from edgecore_runtime.clock import Clock, SystemClock
from edgecore_runtime.health import Health
from edgecore_runtime.http import HttpServer
from edgecore_runtime.objects import ObjectStore
from edgecore_runtime.service import Service


def build(settings: Settings, clock: Clock | None = None) -> Service:
    """A node of backend `settings.provider`. Raises KeyError for a model that the provider does not have."""
    clock = clock or SystemClock()
    health = Health()
    name = settings.provider
    node_id = settings.node_id or name

    scratch = Scratch(Path(settings.scratch_directory) / f"provider-{node_id}")
    scratch.clear()
    provider = _provider(settings)
    source = ProviderSource(
        name,
        provider,
        TaskBook(Path(settings.orders_directory) / node_id),
        settings.provider_poll_seconds,
        insecure=settings.provider_url.startswith("http://"),
    )
    workshop = Workshop(source, Artifacts(ObjectStore(settings.object_store_url)), scratch, clock)
    reports = Reports(
        Identity(node_id, settings.pool, name, settings.provider_capacity),
        lambda: Condition(name, (provider.model,), 0, 0),
        clock,
    )
    worker = Worker(workshop, reports)
    stream = SchedulerStream(settings.scheduler_address, reports, worker.heard, clock)
    session = Session(stream, worker, settings.drain_seconds, WITHDRAW_SECONDS)

    health.ready["scheduler"] = session.problem
    app = FastAPI(title="EDGECORE provider node")
    app.include_router(health.router())
    http = HttpServer(app, settings.http_host, settings.http_port)
    return Service("inference.provider", [http, session], health, settings.drain_delay)


def _provider(settings: Settings) -> Provider:
    """The packages are heavy, and a node needs one of them."""
    account = (settings.provider_api_key, settings.provider_url, settings.provider_model)
    if settings.provider == "runway":
        from edgecore_inference.adapters.providers.runway import Runway

        return Runway(*account)
    from edgecore_inference.adapters.providers.replicate import Replicate

    return Replicate(*account)
