"""`python -m edgecore_scheduler serve|migrate|outbox-replay|settings`"""

from edgecore_runtime.main import run
from edgecore_scheduler.adapters.tables import schema
from edgecore_scheduler.bootstrap import NAME, build
from edgecore_scheduler.settings import Settings

if __name__ == "__main__":
    run(NAME, Settings, build, schema)
