"""GET /api/v1/jobs/{id}/video: the bytes of a delivered video, whole or in a range."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from starlette.exceptions import HTTPException

from edgecore_contracts.errors import Conflict, Internal, Unavailable
from edgecore_contracts.states import JobState
from edgecore_gateway.domain.ranges import Unsatisfiable, byte_range
from edgecore_gateway.entrypoints.caller import Caller
from edgecore_gateway.entrypoints.following import find, matches
from edgecore_gateway.entrypoints.parts import Parts, parts_of
from edgecore_gateway.entrypoints.schemas import REFUSALS
from edgecore_runtime.objects import ObjectNotFound, StorageFailed

router = APIRouter(prefix="/api/v1", tags=["jobs"])

VIDEO: dict[str, Any] = {"content": {"video/mp4": {"schema": {"type": "string", "format": "binary"}}}}
RESPONSES: dict[int | str, Any] = {
    200: {"description": "The video", **VIDEO},
    206: {"description": "The part in Range", **VIDEO},
    304: {"description": "As If-None-Match says"},
    410: {"description": "It was delivered, and is no longer in the store"},
    416: {"description": "No byte of the video lies in Range"},
    **REFUSALS,
}


@router.get("/jobs/{job_id}/video", summary="A job's video", responses=RESPONSES, response_class=Response)
@router.head("/jobs/{job_id}/video", include_in_schema=False)
async def job_video(request: Request, caller: Caller, job_id: str) -> Response:
    """The video as it was delivered; conditional and partial requests are understood (RFC 9110)."""
    parts = parts_of(request)
    job = await find(parts, job_id, caller)
    if job.state is not JobState.DELIVERED or job.artifact is None:
        raise Conflict(f"the video is not there: the job's state is {job.state}")
    size = await _size(parts, job.artifact)
    tag = f'"{job.artifact["sha256"]}"'
    headers = {
        "ETag": tag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, max-age=31536000, immutable",
        "Content-Disposition": f'inline; filename="{job.id}.mp4"',
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
    status, media_type = (206 if part else 200), str(job.artifact["media_type"] or "video/mp4")
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=media_type)
    return StreamingResponse(parts.store.read(job.artifact["key"], start, end), status, headers, media_type)


async def _size(parts: Parts, artifact: dict[str, Any]) -> int:
    """Bytes in the store, which must be those that were delivered."""
    try:
        size = await parts.store.size(artifact["key"])
    except ObjectNotFound as error:
        raise HTTPException(410, "the video was delivered, and is no longer in the artifact store") from error
    except StorageFailed as error:
        raise Unavailable("the artifact store is away") from error
    if size != artifact["size_bytes"]:
        raise Internal(f"the stored video has {size} bytes instead of {artifact['size_bytes']}")
    return size
