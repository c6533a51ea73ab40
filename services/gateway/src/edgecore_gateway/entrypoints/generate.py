"""POST /api/v1/generate: check everything, store the job and its command in one transaction, answer 202."""

import hashlib
import json
import re
import secrets
from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse

from edgecore.jobs.v1.commands_pb2 import GenerateVideo
from edgecore_contracts.cloudevents import timestamp
from edgecore_contracts.errors import BudgetExhausted, Conflict, FieldProblem, InvalidInput
from edgecore_contracts.models import DEFAULT_MODEL, MODELS
from edgecore_contracts.money import usd
from edgecore_gateway.adapters import inputs, jobs
from edgecore_gateway.domain.costs import Reservation, ReservationState
from edgecore_gateway.domain.job import Job, status
from edgecore_gateway.domain.spec import JobSpec
from edgecore_gateway.domain.validation import validate
from edgecore_gateway.entrypoints.caller import Caller
from edgecore_gateway.entrypoints.following import WAIT_LIMIT, Status, etag, find, follow, is_over, status_now
from edgecore_gateway.entrypoints.inputs import drop_picture, keep_picture, resolved
from edgecore_gateway.entrypoints.parts import Parts, parts_of
from edgecore_gateway.entrypoints.request_body import read_json
from edgecore_gateway.entrypoints.schemas import REFUSALS, JobStatus, request_schema
from edgecore_runtime import logs
from edgecore_runtime.ids import new_id

router = APIRouter(prefix="/api/v1", tags=["jobs"])

IDEMPOTENCY_KEY_MOST = 255
log = logs.get(__name__)

_WAIT = re.compile(r"(?:^|[,;\s])wait=(\d{1,6})(?:$|[,;\s])", re.ASCII)

DOCUMENTED = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": request_schema(MODELS[DEFAULT_MODEL])}},
    },
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "description": "the same key with the same body is the same job, for a week",
            "schema": {"type": "string", "minLength": 1, "maxLength": IDEMPOTENCY_KEY_MOST},
        },
        {
            "name": "Prefer",
            "in": "header",
            "description": f"`wait=N`: answer when the job is over, or after N (at most {WAIT_LIMIT:.0f}) seconds",
            "schema": {"type": "string"},
        },
    ],
}


@router.post(
    "/generate",
    status_code=202,
    summary="Ask for a video",
    response_description="The job was accepted",
    responses={202: {"model": JobStatus}, 200: {"model": JobStatus, "description": "It is over"}, **REFUSALS},
    openapi_extra=DOCUMENTED,
)
async def generate(
    request: Request,
    caller: Caller,
    format: Annotated[str | None, Query(description="the same as `formats` with this one")] = None,
) -> Response:
    """Accept a job. The command leaves through the outbox: Kafka and the scheduler may be away."""
    parts = parts_of(request)
    key = _idempotency_key(request)
    body = _with_format(await read_json(request, parts.settings.max_body_bytes), format)
    spec = validate(body, MODELS, secrets.randbits(63))
    claim = Claim(key, _digest(body)) if key is not None else None
    accepted = await _repeated(parts, caller, claim) or await _accept(parts, caller, spec, claim)
    replayed = not isinstance(accepted, Job)
    current = status(accepted) if isinstance(accepted, Job) else await _earlier(parts, caller, accepted)
    if wait := _preferred_wait(request):
        current = await follow(parts, request, current["id"], caller, wait, is_over, every_step=False)
    return _answer(current, replayed=replayed, waited=wait)


@dataclass(frozen=True)
class Claim:
    """An idempotency key, and the SHA-256 of the request that it stands for."""

    key: str
    digest: bytes

    def same(self, bound: tuple[str, bytes]) -> str:
        """The id of the job that the key is bound to. Raises Conflict when it stands for another request."""
        job_id, digest = bound
        if digest != self.digest:
            raise Conflict("this Idempotency-Key was used for another request")
        return job_id


def _digest(body: Any) -> bytes:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).digest()


async def _repeated(parts: Parts, user_id: str, claim: Claim | None) -> str | None:
    """The earlier job, looked for before money is set aside for another one. Raises Conflict."""
    if claim is None:
        return None
    async with parts.database.reading() as session:
        bound = await jobs.claimed(session, user_id, claim.key)
    return claim.same(bound) if bound is not None else None


async def _earlier(parts: Parts, user_id: str, job_id: str) -> Status:
    return await status_now(parts, await find(parts, job_id, user_id))


async def _accept(parts: Parts, user_id: str, spec: JobSpec, claim: Claim | None) -> Job | str:
    """The new job, or the id of the one that a concurrent request with the same key made.

    Raises InvalidInput for inputs that are not the user's, BudgetExhausted, Conflict, Unavailable.
    """
    spec = await resolved(parts, user_id, spec)
    job = jobs.accepted(new_id("job"), user_id, spec, parts.clock.now())
    # The picture first: money set aside for a job that is then not stored is held for a quarter of an hour.
    if spec.image is not None and spec.picture is not None:
        await keep_picture(parts, user_id, spec.image, spec.picture)
    reservation = await parts.costs.reserve(job.id, user_id, spec)
    if reservation.state is ReservationState.DECLINED:
        if spec.image is not None and spec.picture is not None:
            await drop_picture(parts, spec.image, spec.picture)
        raise BudgetExhausted(reservation.detail)
    job = replace(job, reservation=reservation.state, cost_estimated=reservation.estimate)
    earlier = await _store(parts, job, spec, reservation, claim)
    if earlier is not None:
        return earlier
    log.info("job accepted", job_id=job.id, user_id=user_id)
    return job


async def _store(
    parts: Parts, job: Job, spec: JobSpec, reservation: Reservation, claim: Claim | None
) -> str | None:
    """Job and command, or neither. The id of the earlier job when the idempotency key was used; Conflict.

    What was reserved for a job that is not stored is nobody's: cost releases it after a while.
    """
    async with parts.database.transaction() as session:
        if claim is not None:
            bound = await jobs.claim_key(session, job.user_id, claim.key, job.id, claim.digest)
            if bound is not None:
                return claim.same(bound)
        await jobs.add(session, job)
        await inputs.note_use(session, job.id, spec.inputs)
        command = GenerateVideo(
            job_id=job.id,
            user_id=job.user_id,
            spec=spec.to_proto(),
            accepted_at=timestamp(job.created_at),
            reservation=reservation.state.to_proto(),
            quotes=reservation.quotes,
            fallback=spec.fallback,
            max_cost=None if spec.max_cost is None else usd(spec.max_cost),
        )
        await parts.outbox.add(session, command, job.id)
    return None


def _answer(current: Status, replayed: bool, waited: float) -> Response:
    headers = {"Location": current["status_url"], "ETag": etag(current), "Cache-Control": "no-store"}
    if replayed:
        headers["Idempotency-Replayed"] = "true"
    if waited:
        headers["Preference-Applied"] = f"wait={waited:.0f}"
    return JSONResponse(current, 200 if waited and is_over(current) else 202, headers)


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not (0 < len(key) <= IDEMPOTENCY_KEY_MOST and key.isascii() and key.isprintable()):
        rule = f"must be 1 to {IDEMPOTENCY_KEY_MOST} printable ASCII characters"
        raise InvalidInput([FieldProblem("Idempotency-Key", rule)])
    return key


def _preferred_wait(request: Request) -> float:
    """Seconds of `Prefer: wait=N`; a preference may be cut to what is possible, or ignored (RFC 7240)."""
    found = _WAIT.search(request.headers.get("prefer", "").lower())
    return min(float(found[1]), WAIT_LIMIT) if found else 0.0


def _with_format(body: Any, wanted: str | None) -> Any:
    """`?format=mp4` is a short way to write `formats`."""
    if wanted is None or not isinstance(body, dict):
        return body
    if body.get("formats") not in (None, [wanted]):
        raise InvalidInput([FieldProblem("format", "says something else than formats in the body")])
    return body | {"formats": [wanted]}
