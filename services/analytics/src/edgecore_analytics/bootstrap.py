"""Analytics, wired."""

from datetime import timedelta

from fastapi import FastAPI

from edgecore.analytics.v1 import analytics_pb2_grpc
from edgecore.analytics.v1.analytics_pb2 import DESCRIPTOR
from edgecore_analytics.adapters import tables
from edgecore_analytics.entrypoints import events, timers
from edgecore_analytics.entrypoints.grpc_service import AnalyticsService
from edgecore_analytics.settings import Settings
from edgecore_contracts.topics import COST_EVENTS, JOB_COMMANDS, JOB_EVENTS, POOL_EVENTS
from edgecore_runtime.clock import Clock, SystemClock
from edgecore_runtime.consumer import Consumer
from edgecore_runtime.grpc_server import GrpcServer
from edgecore_runtime.health import Health
from edgecore_runtime.http import HttpServer
from edgecore_runtime.outbox import Inbox
from edgecore_runtime.service import Background, Component, Service

NAME = "analytics"
TOPICS = [JOB_COMMANDS, JOB_EVENTS, COST_EVENTS, POOL_EVENTS]


def build(settings: Settings, clock: Clock | None = None) -> Service:
    """The whole service, not yet started."""
    database = tables.schema.database(settings)
    consumer = Consumer(
        settings.kafka_bootstrap,
        NAME,
        TOPICS,
        events.handle,
        database,
        Inbox(tables.inbox),
        clock or SystemClock(),
        settings.kafka_session_timeout,
    )
    retention = timedelta(days=settings.retention_days)
    service = AnalyticsService(database)
    grpc_server = GrpcServer(
        settings.grpc_host,
        settings.grpc_port,
        [DESCRIPTOR.services_by_name["AnalyticsService"].full_name],
        lambda server: analytics_pb2_grpc.add_AnalyticsServiceServicer_to_server(service, server),
    )

    health = Health()
    health.live["consumer"] = consumer.check
    health.ready["database"] = database.check
    app = FastAPI(title="EDGECORE analytics", openapi_url=None)
    app.include_router(health.router())
    components: list[Component] = [
        database,
        Background("consumer", consumer.run),
        Background("gauges", lambda: timers.every(settings.gauge_interval, lambda: timers.show_gauges(database))),
        Background(
            "pruning", lambda: timers.every(timers.PRUNE_SECONDS, lambda: timers.prune(database, retention))
        ),
        grpc_server,
        HttpServer(app, settings.http_host, settings.http_port),
    ]
    return Service(NAME, components, health, settings.drain_delay)
