from edgecore_gateway.adapters.tables import METADATA
from edgecore_runtime.migrations import run_environment

run_environment(METADATA)
