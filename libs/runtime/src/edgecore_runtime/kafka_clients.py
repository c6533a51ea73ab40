"""Opening Kafka clients with a deadline, and closing them whatever happened, also when opening failed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from edgecore_runtime import logs

OPEN_SECONDS = 35.0
"""Of which a busy broker needs most; a start that is given up costs the group one more rebalance."""
LINGER_SECONDS = 15.0
CLOSE_SECONDS = 21.0
CANCEL_SECONDS = 3.0
CLOSE_PATIENCE = 3
REQUEST_MILLISECONDS = 10_000
LOOK_MILLISECONDS = 3_000
"""A reader only looks; one that waits longer mostly asks for a partition that is gone with its broker."""
FETCH_MILLISECONDS = 100
"""How long the broker may hold a fetch open; the embedded one looks for new records only twice in that time."""
METADATA_MILLISECONDS = 5_000
"""How soon a member that owns nothing sees topics that were made again."""

log = logs.get(__name__)

Client = TypeVar("Client", AIOKafkaConsumer, AIOKafkaProducer, AIOKafkaAdminClient)


@asynccontextmanager
async def opened(client: Client) -> AsyncIterator[Client]:
    """The started client; raises KafkaError or TimeoutError when the broker does not answer."""
    starting = asyncio.create_task(client.start())
    loop = asyncio.get_running_loop()
    deadline = loop.time() + OPEN_SECONDS
    try:
        async with asyncio.timeout_at(deadline):
            await asyncio.shield(starting)
        yield client
    finally:
        try:
            # Cancelled half-way, a start leaves its bootstrap connection open; most starts are over in an instant.
            await asyncio.wait({starting}, timeout=min(LINGER_SECONDS, max(deadline - loop.time(), 0.0)))
            starting.cancel()
            await _closed(client)
        finally:
            # Cancelled once more while closing: whoever waits for this has no more time to give.
            starting.cancel()
            _disconnect(client)


async def _closed(client: AIOKafkaConsumer | AIOKafkaProducer | AIOKafkaAdminClient) -> None:
    """Stop the client, or leave it behind after `CLOSE_SECONDS` and `CLOSE_PATIENCE` cancellations.

    Leaving a group whose broker is gone takes two requests' time; a stop that is cancelled before leaves its
    connections open.

    A consumer that lost its assignment swallows the cancellation that should end its fetching, and then waits for
    an assignment that never comes; `stop` waits for it until it is cancelled itself, once for every such wait.
    """
    stop = client.close if isinstance(client, AIOKafkaAdminClient) else client.stop
    stopping = asyncio.create_task(stop())
    for seconds in (CLOSE_SECONDS, *CLOSE_PATIENCE * (CANCEL_SECONDS,)):
        await asyncio.wait({stopping}, timeout=seconds)
        if stopping.done():
            if not stopping.cancelled():
                stopping.result()
            return
        stopping.cancel()
    log.warning("a Kafka client did not close and is left behind", client=type(client).__name__)


def _disconnect(client: AIOKafkaConsumer | AIOKafkaProducer | AIOKafkaAdminClient) -> None:
    """End what its stop has left: the task that asks for metadata, and connections; at once, without waiting."""
    network = client.client if isinstance(client, AIOKafkaProducer) else client._client
    if network._sync_task is not None:
        network._sync_task.cancel()
    for connection in list(network._conns.values()):
        connection.close()


def admin(bootstrap: str) -> AIOKafkaAdminClient:
    """For asking what topics there are, and making them."""
    return AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=REQUEST_MILLISECONDS)


def producer(bootstrap: str, idempotent: bool = False) -> AIOKafkaProducer:
    """A producer whose acknowledgement means that every in-sync replica has the record."""
    return AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        acks="all",
        enable_idempotence=idempotent,
        request_timeout_ms=REQUEST_MILLISECONDS,
        linger_ms=2,
    )


def reader(bootstrap: str) -> AIOKafkaConsumer:
    """A consumer outside any group, for looking at logs."""
    return AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=None,
        auto_offset_reset="earliest",
        request_timeout_ms=LOOK_MILLISECONDS,
    )


def member(bootstrap: str, group: str, topics: list[str], session_seconds: float) -> AIOKafkaConsumer:
    """A member of a group that commits by hand and starts a new log from its beginning."""
    return AIOKafkaConsumer(
        *topics,
        bootstrap_servers=bootstrap,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=int(session_seconds * 1000),
        heartbeat_interval_ms=int(session_seconds * 200),
        fetch_max_wait_ms=FETCH_MILLISECONDS,
        request_timeout_ms=REQUEST_MILLISECONDS,
        metadata_max_age_ms=METADATA_MILLISECONDS,
    )
