"""The whole gateway, put together."""

from datetime import timedelta
from pathlib import Path

from edgecore_contracts.topics import JOB_EVENTS
from edgecore_gateway.adapters import tables
from edgecore_gateway.adapters.development_key import DevelopmentKey
from edgecore_gateway.adapters.keys import Keys
from edgecore_gateway.adapters.live_progress import LiveProgress
from edgecore_gateway.entrypoints.app import create_app
from edgecore_gateway.entrypoints.events import Projector
from edgecore_gateway.entrypoints.parts import Parts
from edgecore_gateway.entrypoints.pruning import prune_forever
from edgecore_gateway.entrypoints.watch import Watch
from edgecore_gateway.settings import Settings
from edgecore_runtime.clock import Clock, SystemClock
from edgecore_runtime.consumer import Consumer
from edgecore_runtime.health import Health
from edgecore_runtime.http import HttpServer
from edgecore_runtime.objects import ObjectStore
from edgecore_runtime.outbox import Inbox, Outbox
from edgecore_runtime.relay import Relay
from edgecore_runtime.service import Background, Component, Service

NAME = "gateway"


def build(settings: Settings, clock: Clock | None = None) -> Service:
    """Requests write rows, the relay publishes, the consumer reads back; Kafka and scheduler may be away."""
    clock = clock or SystemClock()
    database = tables.schema.database(settings)
    outbox, inbox = Outbox(tables.outbox, NAME, clock), Inbox(tables.inbox)
    watch = Watch(settings.waiting_most)
    live = LiveProgress(settings.scheduler_address, clock)
    relay = Relay(
        database,
        outbox,
        settings.kafka_bootstrap,
        timedelta(hours=settings.outbox_retention_hours),
        settings.kafka_idempotence,
    )
    consumer = Consumer(
        settings.kafka_bootstrap,
        NAME,
        [JOB_EVENTS],
        Projector(watch).handle,
        database,
        inbox,
        clock,
        settings.kafka_session_timeout,
    )
    health = Health()
    health.ready["database"] = database.check
    health.live["consumer"] = consumer.check
    parts = Parts(
        settings=settings,
        clock=clock,
        database=database,
        outbox=outbox,
        keys=Keys(database, clock, settings.key_cache),
        live=live,
        store=ObjectStore(settings.object_store_url),
        watch=watch,
        health=health,
    )
    components: list[Component] = [database]
    if settings.dev_key_file:
        components.append(DevelopmentKey(database, Path(settings.dev_key_file)))
    components += [
        live,
        Background("relay", relay.run),
        Background("consumer", consumer.run),
        Background("pruning", lambda: prune_forever(database)),
        HttpServer(create_app(parts), settings.http_host, settings.http_port),
    ]
    return Service(NAME, components, health, settings.drain_delay)
