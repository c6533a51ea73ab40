"""`python -m edgecore_gateway.openapi` prints the API's OpenAPI document; docs/openapi.json is what it printed."""

import json

from edgecore_gateway.entrypoints.app import with_routes
from edgecore_runtime.health import Health

if __name__ == "__main__":
    print(json.dumps(with_routes(Health()).openapi(), indent=1, ensure_ascii=False))  # noqa: T201
