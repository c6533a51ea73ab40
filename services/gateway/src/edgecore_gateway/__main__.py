"""`python -m edgecore_gateway serve|migrate|outbox-replay|settings`"""

from edgecore_gateway.adapters.tables import schema
from edgecore_gateway.bootstrap import NAME, build
from edgecore_gateway.settings import Settings
from edgecore_runtime.main import run

if __name__ == "__main__":
    run(NAME, Settings, build, schema)
