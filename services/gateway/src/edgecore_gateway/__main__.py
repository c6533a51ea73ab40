"""`python -m edgecore_gateway serve|migrate|outbox-replay|settings`"""

import uvloop

from edgecore_gateway.bootstrap import NAME, build, migrate, replay
from edgecore_gateway.settings import Settings
from edgecore_runtime.main import run

if __name__ == "__main__":
    run(NAME, Settings, build, migrate, replay, uvloop.new_event_loop)
