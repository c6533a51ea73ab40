"""The scheduler, wired."""

from datetime import timedelta

from fastapi import FastAPI
from google.protobuf.duration_pb2 import Duration

from edgecore.scheduler.v1 import scheduler_pb2_grpc
from edgecore.scheduler.v1.scheduler_pb2 import DESCRIPTOR, Welcome
from edgecore_contracts.topics import COST_EVENTS, JOB_COMMANDS
from edgecore_runtime.clock import Clock, SystemClock
from edgecore_runtime.consumer import Consumer
from edgecore_runtime.grpc_server import GrpcServer
from edgecore_runtime.health import Health
from edgecore_runtime.http import HttpServer
from edgecore_runtime.outbox import Inbox, Outbox
from edgecore_runtime.relay import Relay
from edgecore_runtime.service import Background, Component, Service
from edgecore_scheduler.adapters import tables
from edgecore_scheduler.adapters.jobs import Jobs
from edgecore_scheduler.adapters.leases import Leases
from edgecore_scheduler.adapters.node_records import NodeRecords
from edgecore_scheduler.adapters.reservations import Reservations
from edgecore_scheduler.domain.breaker import Breaker
from edgecore_scheduler.domain.chain import Chain
from edgecore_scheduler.domain.fleet import Fleet
from edgecore_scheduler.domain.nodes import Nodes
from edgecore_scheduler.domain.progress import Progress
from edgecore_scheduler.domain.retry import RetryPolicy
from edgecore_scheduler.entrypoints.commands import Commands
from edgecore_scheduler.entrypoints.conversation import Desk
from edgecore_scheduler.entrypoints.dispatcher import Dispatcher
from edgecore_scheduler.entrypoints.fallbacks import Fallbacks
from edgecore_scheduler.entrypoints.grpc_service import SchedulerService
from edgecore_scheduler.entrypoints.metrics import show_breakers
from edgecore_scheduler.entrypoints.reporter import Reporter
from edgecore_scheduler.entrypoints.standings import Standings
from edgecore_scheduler.entrypoints.sweeper import Sweeper
from edgecore_scheduler.scheduling import Scheduling
from edgecore_scheduler.settings import Settings

NAME = "scheduler"


def build(settings: Settings, clock: Clock | None = None) -> Service:
    """The whole service, not yet started."""
    clock = clock or SystemClock()
    database = tables.schema.database(settings)
    outbox = Outbox(tables.outbox, NAME, clock)
    inbox = Inbox(tables.inbox)

    jobs = Jobs(outbox, clock)
    leases = Leases(outbox, clock, settings.lease_ttl, settings.attempt_time_limit)
    records, reservations = NodeRecords(), Reservations(settings.unsecured_jobs)
    nodes, progress = Nodes(), Progress()
    breakers = {name: Breaker(settings.breaker_pause, clock.monotonic) for name in settings.providers}
    fleet = Fleet(nodes, breakers, clock.monotonic)
    chain = Chain(settings.providers, settings.backend_attempts, settings.fallback_wait, settings.verdict_wait)
    retries = RetryPolicy(settings.attempt_limit, settings.retry_pause)
    scheduling = Scheduling(jobs, leases, reservations, chain, fleet, retries, progress)
    show_breakers(breakers)

    dispatcher = Dispatcher(database, scheduling, fleet, settings.attempt_time_limit)
    sweeper = Sweeper(database, leases, scheduling, nodes)
    fallbacks = Fallbacks(database, jobs, scheduling, fleet, settings.fallback_wait)
    standings = Standings(jobs, fleet)
    reporter = Reporter(database, outbox, clock, records, standings, nodes, grace=settings.lease_ttl)
    retention = timedelta(hours=settings.outbox_retention_hours)
    relay = Relay(database, outbox, settings.kafka_bootstrap, retention, settings.kafka_idempotence)
    consumer = Consumer(
        settings.kafka_bootstrap,
        NAME,
        [JOB_COMMANDS, COST_EVENTS],
        Commands(scheduling, nodes).handle,
        database,
        inbox,
        clock,
        settings.kafka_session_timeout,
    )
    welcome = Welcome(
        lease_ttl=_duration(settings.lease_ttl), heartbeat_interval=_duration(settings.heartbeat_interval)
    )
    desk = Desk(database, scheduling, leases, records, fleet, progress, dispatcher, welcome)
    service = SchedulerService(desk, jobs, standings, clock)
    grpc_server = GrpcServer(
        settings.grpc_host,
        settings.grpc_port,
        [DESCRIPTOR.services_by_name["SchedulerService"].full_name],
        lambda server: scheduler_pb2_grpc.add_SchedulerServiceServicer_to_server(service, server),
    )

    health = Health()
    health.live["consumer"] = consumer.check
    health.ready["database"] = database.check
    app = FastAPI(title="EDGECORE scheduler", openapi_url=None)
    app.include_router(health.router())
    components: list[Component] = [
        database,
        Background("relay", relay.run),
        Background("consumer", consumer.run),
        Background("dispatcher", dispatcher.run),
        Background("sweeper", sweeper.run),
        Background("fallbacks", fallbacks.run),
        Background("reporter", reporter.run),
        grpc_server,
        HttpServer(app, settings.http_host, settings.http_port),
    ]
    return Service(NAME, components, health, settings.drain_delay)


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(int(seconds * 1e9))
    return duration
