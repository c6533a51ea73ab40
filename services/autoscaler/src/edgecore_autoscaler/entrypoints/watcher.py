"""Kopf, watching GPUPools, in a thread and a loop of its own.

Not in ours: it takes the process's signals where it runs in the main thread, and when it ends it cancels every
task of its loop that began after it. What it sees is handed over to our loop.
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

import kopf

from edgecore_autoscaler.adapters.kubernetes.client import FIELD_MANAGER
from edgecore_autoscaler.adapters.kubernetes.pools import GROUP, PLURAL, VERSION
from edgecore_runtime import logs

SERVER_SECONDS = 120
"""Whole seconds: the API server takes no fraction."""
CLIENT_SECONDS = 150.0
CONNECT_SECONDS = 10.0
REQUEST_SECONDS = 30.0
JOIN_SECONDS = 10.0
IDENTITY: Any = FIELD_MANAGER
"""Said, because kopf would look up the user's name, and a container's user has none."""

log = logs.get(__name__)


class Watcher:
    """Calls `seen(name, exists)` in the loop that started it."""

    name = "kopf"

    def __init__(self, namespace: str, seen: Callable[[str, bool], None]) -> None:
        self._namespace = namespace
        self._seen = seen
        self._stop = threading.Event()
        self._ended = asyncio.Event()
        self._thread: threading.Thread | None = None

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        logging.getLogger("kopf").setLevel(logging.WARNING)  # it says every event that it passes on
        self._thread = threading.Thread(target=self._run, args=(loop,), name="kopf", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, JOIN_SECONDS)

    async def wait_failed(self) -> None:
        await self._ended.wait()

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            asyncio.run(
                kopf.operator(
                    registry=self._registry(loop),
                    settings=_settings(),
                    identity=IDENTITY,
                    standalone=True,
                    namespaces=[self._namespace],
                    stop_flag=self._stop,
                )
            )
        except Exception:
            log.exception("the watch ended")
        finally:
            loop.call_soon_threadsafe(self._ended.set)

    def _registry(self, loop: asyncio.AbstractEventLoop) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()

        @kopf.on.login(registry=registry)
        def login(**details: Any) -> kopf.ConnectionInfo | None:
            found: kopf.ConnectionInfo | None = kopf.login_with_service_account(**details)
            return found or kopf.login_with_kubeconfig(**details)

        @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
        async def changed(name: str | None, event: Any, **_: Any) -> None:
            assert name is not None
            loop.call_soon_threadsafe(self._seen, name, event["type"] != "DELETED")

        return registry


def _settings() -> kopf.OperatorSettings:
    """Time-outs on everything: a watch stream can die without a word (kopf #955, #996)."""
    settings = kopf.OperatorSettings()
    settings.watching.server_timeout = SERVER_SECONDS
    settings.watching.client_timeout = CLIENT_SECONDS
    settings.watching.connect_timeout = CONNECT_SECONDS
    settings.networking.request_timeout = REQUEST_SECONDS
    settings.networking.connect_timeout = CONNECT_SECONDS
    # Rights in one namespace are enough without the scan for CRDs and namespaces.
    settings.scanning.disabled = True
    # Events are ours to say; and it is our loop's job to end the process, not a timer's in this thread.
    settings.posting.enabled = False
    settings.process.ultimate_exiting_timeout = None
    return settings
