"""Every error that the client raises.

EdgecoreError
├── Unreachable          no answer: nothing listens, the connection broke, or it took too long
├── ApiError             the API answered with a problem (RFC 9457): status, code, detail, errors
│   ├── Unauthorized     401  no key, or an unknown one
│   ├── BudgetExceeded   402
│   ├── Forbidden        403
│   ├── NotFound         404  also another tenant's object
│   ├── Conflict         409
│   ├── Invalid          400, 413, 415, 422  `errors` names fields, rules, nearest valid values
│   ├── RateLimited      429  `retry_after_s`
│   └── ServerFault      5xx, and answers that are not what the API promises
├── JobFailed            the job ended in ERROR or CANCELLED; `job` says why
├── WaitTimeout          the job had not ended in time; it goes on; `job` is its last known state
└── DownloadFailed       the video did not arrive whole; nothing was written
"""

from __future__ import annotations

import httpx

from edgecore_sdk.models import FieldError, Job


class EdgecoreError(Exception):
    """Anything that this client raises on purpose; its text is one readable line."""


class Unreachable(EdgecoreError):
    pass


class ApiError(EdgecoreError):
    def __init__(self, status: int, code: str, detail: str, errors: tuple[FieldError, ...] = ()) -> None:
        # The fields say more than the sentence about them.
        super().__init__("; ".join(map(str, errors)) or detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = errors


class Unauthorized(ApiError):
    pass


class BudgetExceeded(ApiError):
    pass


class Forbidden(ApiError):
    pass


class NotFound(ApiError):
    pass


class Conflict(ApiError):
    pass


class Invalid(ApiError):
    pass


class RateLimited(ApiError):
    retry_after_s: float | None = None


class ServerFault(ApiError):
    pass


class JobFailed(EdgecoreError):
    def __init__(self, job: Job) -> None:
        why = f": {job.error.message} ({job.error.code})" if job.error else ""
        super().__init__(f"job {job.id} ended in {job.state}{why}")
        self.job = job


class WaitTimeout(EdgecoreError):
    def __init__(self, job: Job, waited_s: float) -> None:
        super().__init__(f"job {job.id} is {job.state} after {waited_s:.0f} s; it goes on")
        self.job = job


class DownloadFailed(EdgecoreError):
    pass


BY_STATUS: dict[int, type[ApiError]] = {
    400: Invalid,
    401: Unauthorized,
    402: BudgetExceeded,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: Invalid,
    415: Invalid,
    422: Invalid,
    429: RateLimited,
}


def problem(response: httpx.Response) -> ApiError:
    """The error for an answer with status 400 or above, whether or not its body is a problem document."""
    kind = BY_STATUS.get(response.status_code, ServerFault if response.status_code >= 500 else ApiError)
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        body = {}
    detail = body.get("detail") or body.get("title") or f"the API answered {response.status_code}"
    errors = tuple(
        FieldError(str(entry.get("field", "")), str(entry.get("rule", "")), entry.get("nearest"))
        for entry in body.get("errors") or ()
        if isinstance(entry, dict)
    )
    error = kind(response.status_code, str(body.get("code", "")), str(detail), errors)
    if isinstance(error, RateLimited):
        after = response.headers.get("retry-after", "")
        error.retry_after_s = float(after) if after.isdigit() else None
    return error
