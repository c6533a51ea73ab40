"""Closing a Kafka client ends, whatever the client does."""

import asyncio
import contextlib
import gc
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import AIOKafkaConsumer

from edgecore_contracts.topics import JOB_COMMANDS
from edgecore_runtime import kafka_clients
from edgecore_runtime.embedded.parts import EmbeddedParts
from edgecore_runtime.kafka_clients import opened
from edgecore_runtime.kafka_topics import ensure_topics


class Stubborn:
    """A client that swallows the first `deaf` cancellations of its stop, as one that lost its assignment does."""

    def __init__(self, deaf: int) -> None:
        self.deaf, self.stopped = deaf, False
        self._client = SimpleNamespace(_sync_task=None, _conns={})

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        for _ in range(self.deaf):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        self.stopped = True


@pytest.mark.parametrize(("deaf", "stops"), [(0, True), (1, True), (3, True), (5, False)])
async def test_a_client_that_swallows_cancellations_cannot_hold_us(
    monkeypatch: pytest.MonkeyPatch, deaf: int, stops: bool
) -> None:
    monkeypatch.setattr(kafka_clients, "CLOSE_SECONDS", 0.02)
    monkeypatch.setattr(kafka_clients, "CANCEL_SECONDS", 0.02)
    client = Stubborn(deaf)
    async with asyncio.timeout(5), opened(cast(AIOKafkaConsumer, client)):
        pass
    assert client.stopped is stops


async def test_a_failing_stop_is_not_hidden() -> None:
    class Failing(Stubborn):
        async def stop(self) -> None:
            raise ConnectionError("gone")

    with pytest.raises(ConnectionError, match="gone"):
        async with opened(cast(AIOKafkaConsumer, Failing(0))):
            pass


async def test_a_topic_check_that_is_cut_short_leaves_no_connection(embedded: EmbeddedParts) -> None:
    """A service that is stopped while it starts; a connection left open would fail this run's end."""
    for turns in range(40):
        checking = asyncio.create_task(ensure_topics(embedded.kafka_bootstrap, [JOB_COMMANDS]))
        for _ in range(turns):
            await asyncio.sleep(0)
        checking.cancel()
        await asyncio.gather(checking, return_exceptions=True)
    gc.collect()


@pytest.mark.parametrize(
    ("kind", "stop", "network"),
    [
        (kafka_clients.producer, "stop", "client"),
        (kafka_clients.reader, "stop", "_client"),
        (kafka_clients.admin, "close", "_client"),
    ],
)
async def test_cancelled_while_it_closes_it_leaves_no_connection(
    embedded: EmbeddedParts, monkeypatch: pytest.MonkeyPatch, kind: Any, stop: str, network: str
) -> None:
    """As a service does that has waited long enough for one of its components."""
    client, closing = kind(embedded.kafka_bootstrap), asyncio.Event()

    async def never() -> None:
        closing.set()
        await asyncio.Event().wait()

    async def use() -> None:
        async with opened(client):
            assert await getattr(client, network).fetch_all_metadata()
            monkeypatch.setattr(client, stop, never)

    using = asyncio.create_task(use())
    await closing.wait()
    connections = list(getattr(client, network)._conns.values())
    assert any(connection.connected() for connection in connections)
    using.cancel()
    await asyncio.gather(using, return_exceptions=True)
    assert not any(connection.connected() for connection in connections)
    monkeypatch.undo()
    await getattr(client, stop)()
