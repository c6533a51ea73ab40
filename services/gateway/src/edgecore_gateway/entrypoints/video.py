"""GET /api/v1/jobs/{id}/video and …/thumbnail: the bytes of a delivered job's files, whole or in a range."""

from pathlib import PurePosixPath
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.exceptions import HTTPException

from edgecore_contracts.errors import Conflict, FieldProblem, Internal, InvalidInput, NotFound, Unavailable
from edgecore_contracts.states import JobState
from edgecore_gateway.domain import fields
from edgecore_gateway.domain.job import THUMBNAIL, Job, format_of
from edgecore_gateway.domain.json_body import printable
from edgecore_gateway.domain.ranges import Unsatisfiable, byte_range
from edgecore_gateway.domain.validation import FORMATS
from edgecore_gateway.entrypoints.caller import Caller
from edgecore_gateway.entrypoints.following import find, matches
from edgecore_gateway.entrypoints.parts import Parts, parts_of
from edgecore_gateway.entrypoints.schemas import REFUSALS
from edgecore_runtime.objects import ObjectNotFound, StorageFailed

router = APIRouter(prefix="/api/v1", tags=["jobs"])


def _responses(*media_types: str) -> dict[int | str, Any]:
    content = {"content": {one: {"schema": {"type": "string", "format": "binary"}} for one in media_types}}
    return {
        200: {"description": "The file", **content},
        206: {"description": "The part in Range", **content},
        304: {"description": "As If-None-Match says"},
        410: {"description": "It was delivered, and is no longer in the store"},
        416: {"description": "No byte of the file lies in Range"},
        **REFUSALS,
    }


VIDEO = _responses("video/mp4", "video/webm", "video/quicktime")
PICTURE = _responses("image/jpeg")


@router.get("/jobs/{job_id}/video", summary="A job's video", responses=VIDEO, response_class=Response)
@router.head("/jobs/{job_id}/video", include_in_schema=False)
async def job_video(
    request: Request,
    caller: Caller,
    job_id: str,
    format: Annotated[str | None, Query(description="one of the job's formats; the first without it")] = None,
) -> Response:
    """The video as it was delivered; conditional and partial requests are understood (RFC 9110)."""
    if format is not None and format not in FORMATS:
        rule = "must be one of " + ", ".join(FORMATS)
        raise InvalidInput([FieldProblem("format", rule, fields.closest(printable(format), FORMATS))])
    job = await find(parts_of(request), job_id, caller)
    return await _answer(request, job, format)


@router.get(
    "/jobs/{job_id}/thumbnail", summary="A picture of a job's video", responses=PICTURE, response_class=Response
)
@router.head("/jobs/{job_id}/thumbnail", include_in_schema=False)
async def job_thumbnail(request: Request, caller: Caller, job_id: str) -> Response:
    """Its middle frame, at most 480p."""
    job = await find(parts_of(request), job_id, caller)
    return await _answer(request, job, THUMBNAIL)


def _file(job: Job, name: str | None) -> dict[str, Any]:
    """The artifact. Raises Conflict before the job is delivered, NotFound when it has no such file."""
    if job.state is not JobState.DELIVERED:
        raise Conflict(f"the video is not there: the job's state is {job.state}")
    artifact = job.file(name)
    if artifact is None:
        made = ", ".join(format_of(one) for one in job.renditions)
        raise NotFound(f"the job has no {name}: it was made as {made}")
    return artifact


async def _answer(request: Request, job: Job, name: str | None) -> Response:
    parts = parts_of(request)
    artifact = _file(job, name)
    size = await _size(parts, artifact)
    tag = f'"{artifact["sha256"]}"'
    headers = {
        "ETag": tag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, max-age=31536000, immutable",
        "Content-Disposition": f'inline; filename="{job.id}{PurePosixPath(artifact["key"]).suffix}"',
    }
    if matches(request.headers.get("if-none-match"), tag):
        return Response(status_code=304, headers=headers)
    wanted = request.headers.get("range") if request.headers.get("if-range", tag) == tag else None
    try:
        part = byte_range(wanted, size)
    except Unsatisfiable as error:
        raise HTTPException(416, str(error), {"Content-Range": f"bytes */{size}"}) from error
    start, end = part or (0, size)
    headers["Content-Length"] = str(end - start)
    if part:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    status, media_type = (206 if part else 200), str(artifact["media_type"] or "video/mp4")
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=media_type)
    return StreamingResponse(parts.store.read(artifact["key"], start, end), status, headers, media_type)


async def _size(parts: Parts, artifact: dict[str, Any]) -> int:
    """Bytes in the store, which must be those that were delivered."""
    try:
        size = await parts.store.size(artifact["key"])
    except ObjectNotFound as error:
        raise HTTPException(410, "the file was delivered, and is no longer in the artifact store") from error
    except StorageFailed as error:
        raise Unavailable("the artifact store is away") from error
    if size != artifact["size_bytes"]:
        raise Internal(f"the stored file has {size} bytes instead of {artifact['size_bytes']}")
    return size
