"""Who calls: `Authorization: Bearer edge_…`."""

from typing import Annotated

from fastapi import Depends, Request

from edgecore_contracts.errors import Unauthenticated
from edgecore_gateway.domain.api_keys import parse_key
from edgecore_gateway.entrypoints.parts import parts_of

SCHEME = {"type": "http", "scheme": "bearer", "bearerFormat": "edge_…"}
"""What OpenAPI says of it."""


async def _caller(request: Request) -> str:
    """The user's id. Raises Unauthenticated."""
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    if not text:
        raise Unauthenticated("send Authorization: Bearer <your API key>")
    key = parse_key(text.strip()) if scheme.lower() == "bearer" else None
    if key is None:
        raise Unauthenticated("this is not an API key: it is mistyped or cut")
    user_id = await parts_of(request).keys.owner(key)
    if user_id is None:
        raise Unauthenticated("this API key is unknown or revoked")
    return user_id


Caller = Annotated[str, Depends(_caller)]
