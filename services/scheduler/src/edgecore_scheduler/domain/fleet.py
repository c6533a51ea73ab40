"""What the connected nodes and the breakers say about each backend."""

from collections.abc import Callable

from edgecore_contracts.models import MODELS
from edgecore_scheduler.domain.breaker import Breaker
from edgecore_scheduler.domain.chain import Standing
from edgecore_scheduler.domain.nodes import Connection, Nodes


class Fleet:
    """`breakers` has one for each paid provider, in the chain's order; `now` is a monotonic clock."""

    def __init__(self, nodes: Nodes, breakers: dict[str, Breaker], now: Callable[[], float]) -> None:
        self.nodes = nodes
        self.breakers = breakers
        self._now = now
        self._started = now()
        self._seen: dict[tuple[str, str], float] = {}

    def is_provider(self, backend: str) -> bool:
        return backend in self.breakers

    def standing(self, backend: str, model: str, ended: str = "") -> Standing:
        """How a backend stands for a model; the lease `ended` is on its way out and takes no room any more."""
        ready = self._ready(backend, model)
        breaker = self.breakers.get(backend)
        return Standing(
            nodes=len(ready),
            room=sum(one.free + (ended in one.running) for one in ready),
            absent=0.0 if ready else self._now() - self._seen.get((backend, model), self._started),
            closed=breaker is None or breaker.lets_through,
        )

    def capacity(self, backend: str, model: str) -> int:
        """Jobs of this model that can run there at a time."""
        return sum(one.capacity for one in self._ready(backend, model))

    def observe(self) -> None:
        """Note which of our own backends have a node now; absence is counted from the last note."""
        now = self._now()
        for rules in MODELS.values():
            if self._ready(rules.backend, rules.name):
                self._seen[rules.backend, rules.name] = now

    def absent(self, patience: float) -> frozenset[str]:
        """Models whose own backend has had no node for `patience` seconds."""
        own = ((rules.name, self.standing(rules.backend, rules.name)) for rules in MODELS.values())
        return frozenset(name for name, home in own if home.nodes == 0 and home.absent >= patience)

    def _ready(self, backend: str, model: str) -> list[Connection]:
        """A provider's nodes take any model, and choose their own equivalent."""
        any_model = self.is_provider(backend)
        here = self.nodes.of_backend(backend)
        return [one for one in here if not one.draining and (any_model or model in one.models)]
