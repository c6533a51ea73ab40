"""Leader election by a Lease: of several replicas, one acts.

As client-go does it: a holder renews; another takes over after it has seen no renewal for the whole duration, by
its own monotonic clock, so that nobody's wall clock matters. The resourceVersion lets one writer win.
"""

import asyncio
import os
import random
import socket
from datetime import datetime
from http import HTTPStatus

from edgecore_autoscaler.adapters.kubernetes.client import Kubernetes, KubernetesError, Object
from edgecore_runtime import logs
from edgecore_runtime.clock import Clock

NAME = "edgecore-autoscaler"
DURATION = 15
RENEW_SECONDS = 3.0
HELD_SECONDS = 10.0
"""How long a renewal counts for its holder: shorter than the duration, so that two never both think so."""

log = logs.get(__name__)


class Lease:
    """`held` says whether this replica may act."""

    def __init__(self, kubernetes: Kubernetes, namespace: str, clock: Clock) -> None:
        self._kubernetes = kubernetes
        self._namespace = namespace
        self._clock = clock
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._me = f"{socket.gethostname()}-{os.getpid()}-{random.randrange(10**6):06d}"
        self._seen: tuple[str, str] = ("", "")
        self._seen_at = clock.monotonic()
        self._held_until = float("-inf")
        self._answered_at = clock.monotonic()

    @property
    def held(self) -> bool:
        return self._clock.monotonic() < self._held_until

    async def run(self) -> None:
        """Try to get and keep it until cancelled; then give it back."""
        try:
            while True:
                await self.renew()
                await asyncio.sleep(RENEW_SECONDS * random.uniform(0.8, 1.2))
        finally:
            await self.release()

    async def check(self) -> str | None:
        """A readiness check: the API server has answered lately."""
        silent = self._clock.monotonic() - self._answered_at
        return f"no answer from Kubernetes for {silent:.0f} s" if silent > 2 * DURATION else None

    async def renew(self) -> None:
        """Take or keep it if it can be had; never raises."""
        was_held, now = self.held, self._clock.monotonic()
        try:
            if await self._take():
                self._held_until = now + HELD_SECONDS
        except KubernetesError as error:
            if error.status != HTTPStatus.CONFLICT:
                log.warning("lease could not be renewed", error=str(error))
        if was_held != self.held:
            log.info("leading" if self.held else "following", identity=self._me, leader=self._seen[0])

    async def _take(self) -> bool:
        found = await self._kubernetes.get(f"{self._path}/{NAME}")
        self._answered_at = self._clock.monotonic()
        if found is None:
            await self._kubernetes.create(self._path, self._object({}))
            return True
        spec = found.get("spec") or {}
        holder = str(spec.get("holderIdentity") or "")
        seen = (holder, str(spec.get("renewTime")))
        if seen != self._seen:
            self._seen, self._seen_at = seen, self._clock.monotonic()
        if holder not in ("", self._me) and self._clock.monotonic() < self._seen_at + DURATION:
            self._held_until = float("-inf")
            return False
        await self._kubernetes.replace(f"{self._path}/{NAME}", self._object(found))
        return True

    async def release(self) -> None:
        """Let another take over at once; best effort."""
        if not self.held:
            return
        self._held_until = float("-inf")
        try:
            found = await self._kubernetes.get(f"{self._path}/{NAME}")
            if found and found["spec"].get("holderIdentity") == self._me:
                await self._kubernetes.replace(f"{self._path}/{NAME}", self._object(found, holder=""))
        except KubernetesError as error:
            log.warning("lease could not be given back", error=str(error))

    def _object(self, found: Object, holder: str | None = None) -> Object:
        now = self._clock.now()
        before = found.get("spec") or {}
        mine = before.get("holderIdentity") == self._me
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": NAME, "namespace": self._namespace}
            | {k: v for k, v in (found.get("metadata") or {}).items() if k == "resourceVersion"},
            "spec": {
                "holderIdentity": self._me if holder is None else holder,
                "leaseDurationSeconds": DURATION,
                "acquireTime": before.get("acquireTime") if mine else _micro(now),
                "renewTime": _micro(now),
                "leaseTransitions": before.get("leaseTransitions", 0) + (0 if mine or not found else 1),
            },
        }


def _micro(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
