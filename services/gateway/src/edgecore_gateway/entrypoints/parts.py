"""What the routes work with; bootstrap puts it together, and a route asks the request for it."""

from dataclasses import dataclass
from typing import cast

from fastapi import Request

from edgecore_gateway.adapters.analytics_client import AnalyticsClient
from edgecore_gateway.adapters.cost_client import CostClient
from edgecore_gateway.adapters.keys import Keys
from edgecore_gateway.adapters.live_progress import LiveProgress
from edgecore_gateway.adapters.password_hashes import PasswordHashes
from edgecore_gateway.adapters.preview_client import PreviewClient
from edgecore_gateway.adapters.rate_limits import RateLimits
from edgecore_gateway.adapters.scheduler_client import SchedulerClient
from edgecore_gateway.adapters.sessions import Sessions
from edgecore_gateway.adapters.signing_keys import SigningKeys
from edgecore_gateway.entrypoints.receiving import Receiving
from edgecore_gateway.entrypoints.watch import Watch
from edgecore_gateway.settings import Settings
from edgecore_runtime.clock import Clock
from edgecore_runtime.database import Database
from edgecore_runtime.health import Health
from edgecore_runtime.objects import ObjectStore
from edgecore_runtime.outbox import Outbox


@dataclass(frozen=True)
class Parts:
    settings: Settings
    clock: Clock
    database: Database
    outbox: Outbox
    keys: Keys
    sessions: Sessions
    signing_keys: SigningKeys
    passwords: PasswordHashes
    rates: RateLimits
    live: LiveProgress
    scheduler: SchedulerClient
    preview: PreviewClient
    analytics: AnalyticsClient
    costs: CostClient
    store: ObjectStore
    watch: Watch
    receiving: Receiving
    health: Health


def parts_of(request: Request) -> Parts:
    return cast(Parts, request.app.state.parts)
