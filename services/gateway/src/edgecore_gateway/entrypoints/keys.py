"""A user's API keys: listed without their secrets, made, revoked."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from edgecore_contracts.errors import Conflict, FieldProblem, Forbidden, InvalidInput, NotFound
from edgecore_gateway.adapters import audit, users
from edgecore_gateway.adapters.audit import Deed
from edgecore_gateway.adapters.keys import add_key, revoke_key, valid_keys
from edgecore_gateway.domain import fields
from edgecore_gateway.domain.accounts import NAME_MOST
from edgecore_gateway.domain.api_keys import new_key
from edgecore_gateway.domain.job import moment
from edgecore_gateway.domain.json_body import printable
from edgecore_gateway.domain.principal import DEFAULT_SCOPES, Scope
from edgecore_gateway.entrypoints.caller import KeyOwner
from edgecore_gateway.entrypoints.forms import Form, documented, read_form
from edgecore_gateway.entrypoints.origin import address_of
from edgecore_gateway.entrypoints.parts import parts_of
from edgecore_gateway.entrypoints.schemas import REFUSALS

router = APIRouter(prefix="/api/v1/keys", tags=["identity"])

KEYS_MOST = 100
"""Valid keys of one user."""
NO_STORE = {"Cache-Control": "no-store"}


class NewKey(Form):
    name: str = Field(min_length=1, max_length=NAME_MOST, pattern=r"^[^\x00]*$")
    scopes: list[str] = Field(
        default=sorted(DEFAULT_SCOPES), min_length=1, max_length=10, description="generate, read, admin"
    )


class KeyView(BaseModel):
    id: str
    name: str
    scopes: list[Scope]
    shown: str = Field(description="how the key begins")
    created_at: str


class MadeKey(KeyView):
    key: str = Field(description="the key itself; it is shown here and never again")


class KeyList(BaseModel):
    data: list[KeyView]


@router.get("", summary="Your API keys", responses={200: {"model": KeyList}, **REFUSALS})
async def key_list(request: Request, owner: KeyOwner) -> Response:
    async with parts_of(request).database.reading() as session:
        rows = await valid_keys(session, owner.user_id)
    return JSONResponse({"data": [_shown(row) for row in rows]}, headers=NO_STORE)


@router.post(
    "",
    status_code=201,
    summary="Make an API key",
    responses={201: {"model": MadeKey}, **REFUSALS},
    openapi_extra=documented(NewKey),
)
async def key_create(request: Request, owner: KeyOwner) -> Response:
    """The key is in this answer and nowhere else: only its hash is stored."""
    parts = parts_of(request)
    form = await read_form(request, NewKey)
    scopes = _scopes(form.scopes)
    if not scopes <= owner.scopes:
        raise Forbidden("a key cannot have a scope that you came without")
    key, now = new_key(), parts.clock.now()
    async with parts.database.transaction() as session:
        # The lock keeps two requests from both making the last one.
        await users.lock(session, owner.user_id)
        if len(await valid_keys(session, owner.user_id)) >= KEYS_MOST:
            raise Conflict(f"you have {KEYS_MOST} API keys: revoke one first")
        row = await add_key(session, owner.user_id, form.name, key, scopes)
        address = address_of(request, parts.settings.forwarded_hops)
        detail = {"name": form.name, "scopes": sorted(scopes)}
        await audit.record(session, Deed(owner.user_id, "key.create", row.id, address, detail=detail), now)
    return JSONResponse(_shown(row) | {"key": key.text}, 201, NO_STORE)


@router.delete(
    "/{key_id}",
    status_code=204,
    summary="Revoke an API key",
    responses={204: {"description": "It is refused from now on, everywhere within seconds"}, **REFUSALS},
)
async def key_revoke(request: Request, owner: KeyOwner, key_id: str) -> Response:
    parts = parts_of(request)
    now = parts.clock.now()
    async with parts.database.transaction() as session:
        if not key_id.isprintable() or not await revoke_key(session, owner.user_id, key_id, now):
            raise NotFound("you have no such API key")
        address = address_of(request, parts.settings.forwarded_hops)
        await audit.record(session, Deed(owner.user_id, "key.revoke", key_id, address), now)
    parts.keys.forget()
    return Response(status_code=204)


def _scopes(wanted: list[str]) -> frozenset[Scope]:
    """Raises InvalidInput with the nearest scope."""
    known = [scope.value for scope in Scope]
    problems = [
        FieldProblem("scopes", f"{printable(one)!r} is none of {', '.join(known)}", fields.closest(one, known))
        for one in wanted
        if one not in known
    ]
    if problems:
        raise InvalidInput(problems)
    return frozenset(map(Scope, wanted))


def _shown(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "scopes": row.scopes,
        "shown": row.shown,
        "created_at": moment(row.created_at),
    }
