"""Principals by credential, remembered for a short while: it spares a query a request."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

from edgecore_gateway.domain.principal import Principal
from edgecore_runtime.clock import Clock

CACHE_MOST = 10_000

Credential = TypeVar("Credential", bound=Hashable)


class KnownPrincipals(Generic[Credential]):
    """What was found `seconds` ago at most. What was not found is not kept."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._known: OrderedDict[Credential, tuple[Principal, float]] = OrderedDict()

    def get(self, credential: Credential) -> Principal | None:
        found = self._known.get(credential)
        return found[0] if found is not None and self._clock.monotonic() < found[1] else None

    def keep(self, credential: Credential, principal: Principal) -> None:
        if self._seconds > 0:
            self._known[credential] = (principal, self._clock.monotonic() + self._seconds)
            if len(self._known) > CACHE_MOST:
                self._known.popitem(last=False)

    def forget(self) -> None:
        """Everything: something was revoked here. Other replicas notice when what they know expires."""
        self._known.clear()
