"""Who calls: `Authorization: Bearer …`, with an API key (`edge_…`) or the access token of a session.

A route names what it needs: `Caller` the user's id, `CallerPrincipal` also role and scopes, `KeyOwner` the
principal of one who may handle his keys, `Admin` that of an administrator. All of them check the scope that the
method needs, and count the request against the user's rate.
"""

from typing import Annotated

from fastapi import Depends, Request
from starlette.requests import HTTPConnection

from edgecore_contracts.errors import Forbidden, Unauthenticated
from edgecore_gateway.domain.access_tokens import BadToken
from edgecore_gateway.domain.api_keys import PREFIX, parse_key
from edgecore_gateway.domain.principal import Principal, Scope
from edgecore_gateway.domain.window import Limit, TooMany
from edgecore_gateway.entrypoints.edge import RATE
from edgecore_gateway.entrypoints.parts import Parts, parts_of

SCHEMES = {
    "ApiKey": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "edge_…",
        "description": "an API key, from POST /api/v1/keys",
    },
    "Session": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "the access token of POST /api/v1/auth/login",
    },
}
"""What OpenAPI says of them."""

READING = frozenset({"GET", "HEAD"})
SUBMIT_PATH = "/api/v1/generate"
RATE_SECONDS = 60


async def authenticate(parts: Parts, credentials: str) -> Principal:
    """The principal behind an API key or an access token, without `Bearer`. Raises Unauthenticated."""
    if credentials.startswith(PREFIX):
        return await _by_key(parts, credentials)
    try:
        claims = await parts.signing_keys.check(credentials)
    except BadToken as error:
        raise Unauthenticated(f"this is neither an API key nor a valid access token: {error}") from error
    principal = await parts.sessions.principal(claims)
    if principal is None:
        raise Unauthenticated("this session is over")
    return principal


async def _by_key(parts: Parts, text: str) -> Principal:
    key = parse_key(text)
    if key is None:
        raise Unauthenticated("this is not an API key: it is mistyped or cut")
    principal = await parts.keys.principal(key)
    if principal is None:
        raise Unauthenticated("this API key is unknown or revoked")
    return principal


async def _principal(request: Request) -> Principal:
    """Raises Unauthenticated; Forbidden when the key's scopes do not allow the method; TooMany."""
    parts = parts_of(request)
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if not credentials or scheme.lower() != "bearer":
        raise Unauthenticated("send Authorization: Bearer <your API key or access token>")
    principal = await authenticate(parts, credentials.strip())
    count(parts, request, principal)
    needed = Scope.READ if request.method in READING else Scope.GENERATE
    if not principal.scopes & {needed, Scope.ADMIN}:
        raise Forbidden(f"this API key lacks the scope {needed}")
    return principal


def count(parts: Parts, request: HTTPConnection, principal: Principal) -> None:
    """Against the user's rate. Raises TooMany.

    Submits are counted apart from all other requests, so that looking never keeps one from submitting.
    """
    if request.scope.get("method") == "POST" and request.scope["path"] == SUBMIT_PATH:
        limit = Limit("submits", parts.settings.submits_per_minute, RATE_SECONDS)
    else:
        limit = Limit("requests", parts.settings.requests_per_minute, RATE_SECONDS)
    if limit.most == 0:
        return
    reading = parts.rates.take(limit, principal.user_id)
    setattr(request.state, RATE, reading)
    if not reading.admitted:
        raise TooMany(reading, f"over your rate of {limit.most} {limit.name} a minute")


CallerPrincipal = Annotated[Principal, Depends(_principal)]


async def _caller(principal: CallerPrincipal) -> str:
    return principal.user_id


async def _key_owner(principal: CallerPrincipal) -> Principal:
    """A key that leaks must not be good for further ones that outlive it."""
    if Scope.ADMIN not in principal.scopes:
        raise Forbidden("keys are handled when signed in, or with a key that has the scope admin")
    return principal


async def _admin(principal: CallerPrincipal) -> Principal:
    if not principal.is_admin:
        raise Forbidden("only an administrator may do this, signed in or with a key that has the scope admin")
    return principal


Caller = Annotated[str, Depends(_caller)]
KeyOwner = Annotated[Principal, Depends(_key_owner)]
Admin = Annotated[Principal, Depends(_admin)]
