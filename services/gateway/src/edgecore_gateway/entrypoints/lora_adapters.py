"""A user's LoRA adapters: checked and stored, listed, deleted."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from mmap import ACCESS_READ, mmap
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from edgecore_contracts.errors import Conflict, FieldProblem, InvalidInput, NotFound
from edgecore_contracts.models import MODELS
from edgecore_gateway.adapters import audit, lora_adapters, users
from edgecore_gateway.adapters.audit import Deed
from edgecore_gateway.domain.adapter_file import AdapterFile, adapter_name, read_adapter
from edgecore_gateway.domain.fields import Refused
from edgecore_gateway.domain.input_fields import is_adapter_id
from edgecore_gateway.domain.job import moment
from edgecore_gateway.entrypoints.caller import Caller
from edgecore_gateway.entrypoints.inputs import put
from edgecore_gateway.entrypoints.jobs import PAGE_DEFAULT, PAGE_MOST
from edgecore_gateway.entrypoints.origin import address_of
from edgecore_gateway.entrypoints.parts import Parts, parts_of
from edgecore_gateway.entrypoints.request_body import check_encoding, save
from edgecore_gateway.entrypoints.schemas import REFUSALS
from edgecore_runtime.ids import new_id

router = APIRouter(prefix="/api/v1/adapters", tags=["inputs"])

BYTES_MOST = 64 * 1024 * 1024
ADAPTERS_MOST = 50
"""Of one user, those included that were just deleted."""
STORING = timedelta(hours=1)
"""After which an adapter whose file never came to the store goes."""
BASES = [name.removeprefix(f"{rules.backend}-") for name, rules in MODELS.items()]
"""The models' presets."""
MEDIA_TYPES = ("application/octet-stream", "application/vnd.safetensors")
Value = TypeVar("Value")

NO_STORE = {"Cache-Control": "no-store"}


class AdapterView(BaseModel):
    id: str = Field(description="give it in `adapters` of a job")
    name: str
    base: str = Field(description="the model's preset that it was trained on")
    rank: int
    alpha: float
    triggers: list[str] = Field(description="words that a prompt has to say")
    hint: str = Field(description="a prompt of the kind it was trained on")
    size_bytes: int
    sha256: str
    created_at: str


class AdapterPage(BaseModel):
    data: list[AdapterView]
    has_more: bool
    next: str | None = Field(description="give it as `after` for the next page")


@router.post(
    "",
    status_code=201,
    summary="Add an adapter",
    responses={201: {"model": AdapterView}, **REFUSALS},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {MEDIA_TYPES[0]: {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def adapter_create(
    request: Request,
    caller: Caller,
    name: Annotated[str | None, Query(description="instead of the one in the file")] = None,
) -> Response:
    """The body is the file itself, a LoRA of one of our models, at most 64 MiB."""
    parts = parts_of(request)
    chosen = _checked("name", lambda: adapter_name(name)) if name is not None else None
    _check_type(request)
    with parts.receiving.place(caller), TemporaryDirectory(prefix="adapter-") as folder:
        file = Path(folder) / "adapter"
        size, sha256 = await save(request, file, BYTES_MOST)
        adapter = await asyncio.to_thread(_read, file)
        adapter_id = new_id("lora")
        await _announce(parts, caller, adapter_id, chosen, adapter, size, sha256)
        await put(parts, lora_adapters.key_of(adapter_id), file)
    async with parts.database.transaction() as session:
        row = await lora_adapters.stored(session, adapter_id)
        detail = {"name": row.name, "sha256": sha256}
        address = address_of(request, parts.settings.forwarded_hops)
        deed = Deed(caller, "adapter.create", adapter_id, address, detail=detail)
        await audit.record(session, deed, parts.clock.now())
    return JSONResponse(_shown(row), 201, NO_STORE | {"Location": f"/api/v1/adapters/{adapter_id}"})


@router.get("", summary="Your adapters, newest first", responses={200: {"model": AdapterPage}, **REFUSALS})
async def adapter_list(
    request: Request,
    caller: Caller,
    after: Annotated[str | None, Query(description="the `next` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_MOST)] = PAGE_DEFAULT,
) -> Response:
    if after is not None and not is_adapter_id(after):
        raise InvalidInput([FieldProblem("after", "must be the `next` of an earlier page")])
    async with parts_of(request).database.reading() as session:
        found = await lora_adapters.page(session, caller, after, limit + 1)
    shown, more = found[:limit], len(found) > limit
    body = {"data": [_shown(row) for row in shown], "has_more": more, "next": shown[-1].id if more else None}
    return JSONResponse(body, headers=NO_STORE)


@router.get("/{adapter_id}", summary="An adapter of yours", responses={200: {"model": AdapterView}, **REFUSALS})
async def adapter_get(request: Request, caller: Caller, adapter_id: str) -> Response:
    found: dict[str, Any] = {}
    if is_adapter_id(adapter_id):
        async with parts_of(request).database.reading() as session:
            found = await lora_adapters.find(session, [adapter_id], caller)
    if adapter_id not in found:
        raise NotFound("you have no such adapter")
    return JSONResponse(_shown(found[adapter_id]), headers=NO_STORE)


@router.delete(
    "/{adapter_id}",
    status_code=204,
    summary="Delete an adapter",
    responses={204: {"description": "No new job can have it; its file goes when no job needs it"}, **REFUSALS},
)
async def adapter_delete(request: Request, caller: Caller, adapter_id: str) -> Response:
    parts = parts_of(request)
    now = parts.clock.now()
    async with parts.database.transaction() as session:
        if not is_adapter_id(adapter_id) or not await lora_adapters.expire(session, adapter_id, caller, now):
            raise NotFound("you have no such adapter")
        address = address_of(request, parts.settings.forwarded_hops)
        await audit.record(session, Deed(caller, "adapter.delete", adapter_id, address), now)
    return Response(status_code=204)


async def _announce(
    parts: Parts, user_id: str, adapter_id: str, name: str | None, adapter: AdapterFile, size: int, sha256: str
) -> None:
    """The row before the file. Raises Conflict when the user has too many."""
    now = parts.clock.now()
    async with parts.database.transaction() as session:
        # The lock keeps two requests from both adding the last one.
        await users.lock(session, user_id)
        if await lora_adapters.count(session, user_id) >= ADAPTERS_MOST:
            raise Conflict(f"you have {ADAPTERS_MOST} adapters: delete one, and wait an hour for its file to go")
        values = vars(adapter) | {"name": name or adapter.name, "triggers": list(adapter.triggers)}
        await lora_adapters.add(
            session,
            id=adapter_id,
            user_id=user_id,
            size_bytes=size,
            sha256=sha256,
            created_at=now,
            expires_at=now + STORING,
            **values,
        )


def _check_type(request: Request) -> None:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in MEDIA_TYPES:
        raise HTTPException(415, f"send the file itself as Content-Type: {MEDIA_TYPES[0]}")
    check_encoding(request)


def _read(file: Path) -> AdapterFile:
    """Raises InvalidInput."""
    if file.stat().st_size == 0:  # there is nothing to map
        return _checked("body", lambda: read_adapter(b"", BASES))
    with file.open("rb") as opened, mmap(opened.fileno(), 0, access=ACCESS_READ) as data:
        return _checked("body", lambda: read_adapter(data, BASES))


def _checked(field: str, check: Callable[[], Value]) -> Value:
    """Raises InvalidInput."""
    try:
        return check()
    except Refused as refused:
        raise InvalidInput([FieldProblem(field, refused.rule)]) from refused


def _shown(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "base": row.base,
        "rank": row.rank,
        "alpha": row.alpha,
        "triggers": row.triggers,
        "hint": row.hint,
        "size_bytes": row.size_bytes,
        "sha256": row.sha256,
        "created_at": moment(row.created_at),
    }
