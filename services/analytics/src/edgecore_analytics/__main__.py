"""`python -m edgecore_analytics serve|migrate|settings`"""

from edgecore_analytics.adapters.tables import schema
from edgecore_analytics.bootstrap import NAME, build
from edgecore_analytics.settings import Settings
from edgecore_runtime.main import run

if __name__ == "__main__":
    run(NAME, Settings, build, schema)
