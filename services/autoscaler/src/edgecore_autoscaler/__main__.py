"""`python -m edgecore_autoscaler serve|migrate|settings`"""

from edgecore_autoscaler.adapters.tables import schema
from edgecore_autoscaler.bootstrap import NAME, build
from edgecore_autoscaler.settings import Settings
from edgecore_runtime.main import run

if __name__ == "__main__":
    run(NAME, Settings, build, schema)
