"""The autoscaler, wired."""

from fastapi import FastAPI

from edgecore_autoscaler.adapters import tables
from edgecore_autoscaler.adapters.pool_specs import read_file
from edgecore_autoscaler.entrypoints import http_api
from edgecore_autoscaler.entrypoints.events import Events
from edgecore_autoscaler.entrypoints.observer import Observer
from edgecore_autoscaler.scaling import Scaling
from edgecore_autoscaler.settings import Settings
from edgecore_contracts.topics import JOB_COMMANDS, POOL_EVENTS
from edgecore_runtime.clock import Clock, SystemClock
from edgecore_runtime.consumer import Consumer
from edgecore_runtime.health import Health
from edgecore_runtime.http import HttpServer
from edgecore_runtime.outbox import Inbox
from edgecore_runtime.service import Background, Component, Service

NAME = "autoscaler"


def build(settings: Settings, clock: Clock | None = None) -> Service:
    """The whole service, not yet started. Raises InvalidInput or OSError for a file that cannot be used."""
    clock = clock or SystemClock()
    database = tables.schema.database(settings)
    scaling = Scaling(database, clock, settings.history_days, settings.seconds_per_job)
    consumer = Consumer(
        settings.kafka_bootstrap,
        NAME,
        [JOB_COMMANDS, POOL_EVENTS],
        Events(clock, settings.seconds_per_job, settings.history_days).handle,
        database,
        Inbox(tables.inbox),
        clock,
        settings.kafka_session_timeout,
    )

    health = Health()
    health.live["consumer"] = consumer.check
    health.ready["database"] = database.check
    components: list[Component] = [database, Background("consumer", consumer.run)]
    if settings.kubernetes:
        components += _cluster(settings, scaling, clock, health)
    else:
        pools = read_file(settings.pools_file) if settings.pools_file else []
        observer = Observer(scaling, pools, settings.reconcile_interval, clock)
        health.live["observer"] = observer.check
        components.append(Background("observer", observer.run))

    app = FastAPI(title="EDGECORE autoscaler", openapi_url=None)
    app.include_router(health.router())
    app.include_router(http_api.router(scaling, "act" if settings.kubernetes else "observe"))
    return Service(
        NAME,
        [*components, HttpServer(app, settings.http_host, settings.http_port)],
        health,
        settings.drain_delay,
    )


def _cluster(settings: Settings, scaling: Scaling, clock: Clock, health: Health) -> list[Component]:
    """The parts that size pools in a cluster; their libraries are loaded for them alone."""
    from edgecore_autoscaler.adapters.kubernetes.children import Children, read_template
    from edgecore_autoscaler.adapters.kubernetes.client import Kubernetes
    from edgecore_autoscaler.adapters.kubernetes.lease import Lease
    from edgecore_autoscaler.adapters.kubernetes.pools import Pools
    from edgecore_autoscaler.adapters.scheduler import Scheduler
    from edgecore_autoscaler.entrypoints.operator import Operator
    from edgecore_autoscaler.entrypoints.reconciler import Reconciler
    from edgecore_autoscaler.entrypoints.watcher import Watcher

    kubernetes = Kubernetes()
    namespace = settings.kubernetes_namespace
    lease = Lease(kubernetes, namespace, clock)
    pools = Pools(kubernetes, namespace, clock)
    children = Children(kubernetes, namespace, read_template(settings.pod_template))
    scheduler = Scheduler(settings.scheduler_address)
    reconciler = Reconciler(scaling, pools, children, scheduler, clock, settings.drain_limit)
    operator = Operator(reconciler, pools, lease, scaling, settings.reconcile_interval, clock)
    health.live["operator"] = operator.check
    health.ready["kubernetes"] = lease.check
    return [
        kubernetes,
        scheduler,
        Background("lease", lease.run),
        operator,
        Watcher(namespace, operator.seen),
    ]
