"""The cost service, wired."""

from datetime import timedelta

from fastapi import FastAPI

from edgecore.cost.v1 import cost_pb2_grpc
from edgecore.cost.v1.cost_pb2 import DESCRIPTOR
from edgecore_contracts.money import MICROS
from edgecore_contracts.topics import JOB_COMMANDS, JOB_EVENTS, POOL_EVENTS
from edgecore_cost.accounting import Accounting
from edgecore_cost.adapters import tables
from edgecore_cost.adapters.catalogue_file import load_catalogue, load_priors
from edgecore_cost.adapters.predictions import Predictions
from edgecore_cost.adapters.seeding import Seeding
from edgecore_cost.entrypoints.events import Events
from edgecore_cost.entrypoints.grpc_service import CostService
from edgecore_cost.entrypoints.orphans import Orphans
from edgecore_cost.quoting import Quoting
from edgecore_cost.settings import Settings
from edgecore_runtime.clock import Clock, SystemClock
from edgecore_runtime.consumer import Consumer
from edgecore_runtime.grpc_server import GrpcServer
from edgecore_runtime.health import Health
from edgecore_runtime.http import HttpServer
from edgecore_runtime.outbox import Inbox, Outbox
from edgecore_runtime.relay import Relay
from edgecore_runtime.service import Background, Component, Service

NAME = "cost"


def build(settings: Settings, clock: Clock | None = None) -> Service:
    """The whole service, not yet started. Raises BadCatalogue."""
    clock = clock or SystemClock()
    database = tables.schema.database(settings)
    outbox = Outbox(tables.outbox, NAME, clock)
    catalogue = load_catalogue(settings.catalogue_file)

    predictions = Predictions(database, load_priors(), settings.measured_window, settings.refit_interval)
    quoting = Quoting(
        catalogue,
        predictions.predict,
        clock,
        settings.backends,
        settings.models,
        settings.default_device,
    )
    default_limit = None if settings.default_budget < 0 else round(settings.default_budget * MICROS)
    accounting = Accounting(outbox, quoting, clock, default_limit)
    seeding = Seeding(database, catalogue)
    orphans = Orphans(database, accounting, settings.orphan_seconds)

    retention = timedelta(hours=settings.outbox_retention_hours)
    relay = Relay(database, outbox, settings.kafka_bootstrap, retention, settings.kafka_idempotence)
    consumer = Consumer(
        settings.kafka_bootstrap,
        NAME,
        [JOB_COMMANDS, JOB_EVENTS, POOL_EVENTS],
        Events(accounting, catalogue, predictions.predict, outbox, seeding.done).handle,
        database,
        Inbox(tables.inbox),
        clock,
        settings.kafka_session_timeout,
    )
    service = CostService(database, accounting, quoting, clock)
    grpc_server = GrpcServer(
        settings.grpc_host,
        settings.grpc_port,
        [DESCRIPTOR.services_by_name["CostService"].full_name],
        lambda server: cost_pb2_grpc.add_CostServiceServicer_to_server(service, server),
    )

    health = Health()
    health.live["consumer"] = consumer.check
    health.ready["database"] = database.check
    health.ready["prices"] = seeding.check
    app = FastAPI(title="EDGECORE cost", openapi_url=None)
    app.include_router(health.router())
    components: list[Component] = [
        database,
        seeding,
        Background("predictions", predictions.run),
        Background("relay", relay.run),
        Background("consumer", consumer.run),
        Background("orphans", orphans.run),
        grpc_server,
        HttpServer(app, settings.http_host, settings.http_port),
    ]
    return Service(NAME, components, health, settings.drain_delay)
