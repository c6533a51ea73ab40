"""The whole gateway, put together."""

from datetime import timedelta
from pathlib import Path

from edgecore_contracts.topics import COST_EVENTS, JOB_EVENTS
from edgecore_gateway.adapters import tables
from edgecore_gateway.adapters.analytics_client import AnalyticsClient
from edgecore_gateway.adapters.cost_client import CostClient
from edgecore_gateway.adapters.development_user import DevelopmentUser
from edgecore_gateway.adapters.first_admin import FirstAdmin
from edgecore_gateway.adapters.keys import Keys
from edgecore_gateway.adapters.live_progress import LiveProgress
from edgecore_gateway.adapters.password_hashes import PasswordHashes
from edgecore_gateway.adapters.preview_client import PreviewClient
from edgecore_gateway.adapters.rate_limits import RateLimits
from edgecore_gateway.adapters.scheduler_client import SchedulerClient
from edgecore_gateway.adapters.sessions import Sessions
from edgecore_gateway.adapters.signing_keys import SigningKeys
from edgecore_gateway.entrypoints.app import create_app
from edgecore_gateway.entrypoints.events import Projector
from edgecore_gateway.entrypoints.parts import Parts
from edgecore_gateway.entrypoints.pruning import prune_forever
from edgecore_gateway.entrypoints.receiving import Receiving
from edgecore_gateway.entrypoints.watch import Watch
from edgecore_gateway.settings import Settings
from edgecore_runtime.clock import Clock, SystemClock
from edgecore_runtime.consumer import Consumer
from edgecore_runtime.database import Database
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
    scheduler = SchedulerClient(settings.scheduler_address)
    analytics = AnalyticsClient(settings.analytics_address)
    costs = CostClient(settings.cost_address, clock, settings.reserve_timeout)
    preview = PreviewClient(settings.preview_address, settings.preview_viewers_most)
    store = ObjectStore(settings.object_store_url)
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
        [JOB_EVENTS, COST_EVENTS],
        Projector(watch).handle,
        database,
        inbox,
        clock,
        settings.kafka_session_timeout,
    )
    passwords, rates = PasswordHashes(), RateLimits(settings.redis_url, clock)
    rotation = timedelta(days=settings.signing_key_days)
    health = Health()
    health.ready["database"] = database.check
    health.live["consumer"] = consumer.check
    parts = Parts(
        settings=settings,
        clock=clock,
        database=database,
        outbox=outbox,
        keys=Keys(database, clock, settings.key_cache),
        sessions=Sessions(database, clock, settings.key_cache),
        signing_keys=SigningKeys(database, clock, rotation, settings.access_token_seconds),
        passwords=passwords,
        rates=rates,
        live=live,
        scheduler=scheduler,
        preview=preview,
        analytics=analytics,
        costs=costs,
        store=store,
        watch=watch,
        receiving=Receiving(),
        health=health,
    )
    components: list[Component] = [database]
    components += _first_users(settings, database, passwords)
    components += [
        rates,
        live,
        scheduler,
        preview,
        analytics,
        costs,
        Background("relay", relay.run),
        Background("consumer", consumer.run),
        Background("pruning", lambda: prune_forever(database, store, clock)),
        HttpServer(create_app(parts), settings.http_host, settings.http_port),
    ]
    return Service(NAME, components, health, settings.drain_delay)


def _first_users(settings: Settings, database: Database, passwords: PasswordHashes) -> list[Component]:
    """Who can sign in before anybody has made a user."""
    found: list[Component] = []
    if settings.dev_key_file or settings.dev_password_file:
        files = (Path(one) if one else None for one in (settings.dev_key_file, settings.dev_password_file))
        found.append(DevelopmentUser(database, passwords, *files))
    if settings.admin_email:
        password, key = settings.admin_password.get_secret_value(), settings.admin_api_key.get_secret_value()
        admin = FirstAdmin(database, passwords, settings.admin_email, password, key)
        found.append(Background("first administrator", admin.run))
    return found
