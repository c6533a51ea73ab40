"""`python -m edgecore_cost serve|migrate|outbox-replay|settings`"""

from edgecore_cost.adapters.tables import schema
from edgecore_cost.bootstrap import NAME, build
from edgecore_cost.settings import Settings
from edgecore_runtime.main import run

if __name__ == "__main__":
    run(NAME, Settings, build, schema)
