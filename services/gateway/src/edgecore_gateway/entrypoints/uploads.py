"""Pictures that jobs begin with: uploaded once, named in any number of jobs, gone after a day."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from edgecore_contracts.errors import FieldProblem, InvalidInput, NotFound
from edgecore_contracts.models import DEFAULT_MODEL, MODELS
from edgecore_gateway.adapters import uploads
from edgecore_gateway.domain.fields import Refused
from edgecore_gateway.domain.input_fields import is_upload_id
from edgecore_gateway.domain.job import moment
from edgecore_gateway.domain.json_body import printable
from edgecore_gateway.domain.picture import BYTES_MOST, ENDINGS, Picture, read_picture
from edgecore_gateway.entrypoints.caller import Caller
from edgecore_gateway.entrypoints.inputs import keep_picture
from edgecore_gateway.entrypoints.parts import parts_of
from edgecore_gateway.entrypoints.request_body import check_encoding, read_bytes
from edgecore_gateway.entrypoints.schemas import REFUSALS
from edgecore_runtime.ids import new_id

router = APIRouter(prefix="/api/v1/uploads", tags=["inputs"])

NO_STORE = {"Cache-Control": "no-store"}
BINARY = {"schema": {"type": "string", "format": "binary"}}


class UploadView(BaseModel):
    id: str = Field(description="give it as `image` of a job")
    media_type: str
    width: int = Field(description="pixels")
    height: int = Field(description="pixels")
    size_bytes: int
    sha256: str
    created_at: str
    expires_at: str = Field(description="jobs accepted until then have it as long as they need it")


ONE: dict[int | str, dict[str, Any]] = {200: {"model": UploadView}, **REFUSALS}


@router.post(
    "",
    status_code=201,
    summary="Upload a picture",
    responses={201: {"model": UploadView}, **REFUSALS},
    openapi_extra={"requestBody": {"required": True, "content": dict.fromkeys(ENDINGS, BINARY)}},
)
async def upload_create(request: Request, caller: Caller) -> Response:
    """The body is the file itself, PNG, JPEG or WebP, at most 8 MiB, its Content-Type what it is."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip()
    if not media_type.lower().startswith("image/"):
        raise HTTPException(415, f"send the picture itself as Content-Type: {', '.join(ENDINGS)}")
    check_encoding(request)
    picture = _picture(await read_bytes(request, BYTES_MOST), printable(media_type))
    row = await keep_picture(parts_of(request), caller, new_id("upl"), picture)
    return JSONResponse(_shown(row), 201, NO_STORE | {"Location": f"/api/v1/uploads/{row.id}"})


@router.get("/{upload_id}", summary="An upload of yours", responses=ONE)
async def upload_get(request: Request, caller: Caller, upload_id: str) -> Response:
    parts = parts_of(request)
    row = None
    if is_upload_id(upload_id):
        async with parts.database.reading() as session:
            row = await uploads.get(session, upload_id, caller, parts.clock.now())
    if row is None:
        raise NotFound("you have no such upload")
    return JSONResponse(_shown(row), headers=NO_STORE)


@router.delete(
    "/{upload_id}",
    status_code=204,
    summary="Delete an upload",
    responses={204: {"description": "No new job can have it; its file goes when no job needs it"}, **REFUSALS},
)
async def upload_delete(request: Request, caller: Caller, upload_id: str) -> Response:
    parts = parts_of(request)
    async with parts.database.transaction() as session:
        now = parts.clock.now()
        if not is_upload_id(upload_id) or not await uploads.expire(session, upload_id, caller, now):
            raise NotFound("you have no such upload")
    return Response(status_code=204)


def _picture(data: bytes, media_type: str) -> Picture:
    """Raises InvalidInput."""
    rules = MODELS[DEFAULT_MODEL]
    try:
        return read_picture(data, media_type, rules.image_side_min, rules.image_side_max)
    except Refused as refused:
        raise InvalidInput([FieldProblem("body", refused.rule)]) from refused


def _shown(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "media_type": row.media_type,
        "width": row.width,
        "height": row.height,
        "size_bytes": row.size_bytes,
        "sha256": row.sha256,
        "created_at": moment(row.created_at),
        "expires_at": moment(row.expires_at),
    }
