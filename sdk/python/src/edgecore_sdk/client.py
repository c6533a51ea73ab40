"""`Client`: one method a route, plus `wait` and `download`."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import httpx

from edgecore_sdk.download import save
from edgecore_sdk.errors import JobFailed, ServerFault, WaitTimeout, problem
from edgecore_sdk.fleet import Decision, Model, Node, Pool, Provider, rows
from edgecore_sdk.inputs import Adapter, AdapterPage, Picture, Upload, image_field, media_type, read
from edgecore_sdk.keys import ApiKey
from edgecore_sdk.models import Job, Page
from edgecore_sdk.money import Estimate, JobCost
from edgecore_sdk.preview import PreviewEvent, follow
from edgecore_sdk.retry import send

T = TypeVar("T")

# The server answers a long poll at the latest after this.
POLL_S = 20
# What the server takes at most to put a large file into its store.
STORE_S = 120
# Between two polls, so that a server that does not hold them is not asked in a tight loop.
MIN_POLL_INTERVAL_S = 0.1
LOOPBACK = {"127.0.0.1", "::1", "localhost"}


class Client:
    """A connection to one gateway. Use as a context manager, or call `close`.

    `timeout_s` bounds one answer (not a job). Requests that cannot have had an effect are repeated a few
    times with jitter. Every method can raise Unreachable and the ApiErrors (see errors.py).
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        timeout_s: float = 30.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._timeout_s = timeout_s
        self._http = httpx.Client(
            base_url=base_url,
            headers={"Authorization": f"Bearer {api_key}", "User-Agent": "edgecore-sdk-python/0.1.0"},
            timeout=timeout_s,
            transport=transport,
            follow_redirects=True,
            # A proxy from the environment cannot reach this machine's own loopback.
            trust_env=httpx.URL(base_url).host not in LOOPBACK,
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def generate(
        self,
        prompt: str,
        *,
        image: Picture | None = None,
        adapters: Mapping[str, float] | None = None,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> Job:
        """Submit a job; returns as soon as it is accepted. Options with the value None are not sent.

        `image` is the first frame, `adapters` the scales of adapters by id. Options are the other fields of
        `POST /api/v1/generate`: negative_prompt, width, height, frames, fps, steps, guidance, seed, variant,
        upscale, flow_guidance, … Raises Invalid with the nearest valid values, OSError for an unreadable file.
        """
        body = _body(prompt, image, adapters, options)
        headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
        return self._call(Job.parse, "POST", "/api/v1/generate", json=body, headers=headers)

    def estimate(
        self,
        prompt: str,
        *,
        image: Picture | None = None,
        adapters: Mapping[str, float] | None = None,
        **options: Any,
    ) -> Estimate:
        """What the job would cost on each backend; everything as for `generate`. Raises Invalid, OSError."""
        return self._call(Estimate.parse, "POST", "/api/v1/estimate", json=_body(prompt, image, adapters, options))

    def upload_image(self, picture: PathLike[str] | str | bytes) -> Upload:
        """Store a picture for a day; its id is an `image` for any number of jobs. Raises Invalid, OSError."""
        data = read(picture)
        headers = {"Content-Type": media_type(data)}
        return self._call(Upload.parse, "POST", "/api/v1/uploads", content=data, headers=headers)

    def upload(self, upload_id: str) -> Upload:
        """Raises NotFound, also once it has expired."""
        return self._call(Upload.parse, "GET", f"/api/v1/uploads/{_segment(upload_id)}")

    def delete_upload(self, upload_id: str) -> None:
        """No new job can have it; those that do go on. Raises NotFound."""
        self._delete(f"/api/v1/uploads/{_segment(upload_id)}")

    def add_adapter(self, path: PathLike[str] | str, name: str | None = None) -> Adapter:
        """Store a LoRA's file, called `name` or as it says itself. Raises Invalid, Conflict, OSError."""
        return self._call(
            Adapter.parse,
            "POST",
            "/api/v1/adapters",
            params={} if name is None else {"name": name},
            content=read(path),
            headers={"Content-Type": "application/octet-stream"},
            timeout=self._timeout_s + STORE_S,
        )

    def adapters(self) -> list[Adapter]:
        """All of yours, newest first."""
        found: list[Adapter] = []
        after: dict[str, str] = {}
        while True:
            page = self._call(AdapterPage.parse, "GET", "/api/v1/adapters", params={"limit": "100", **after})
            found += page.adapters
            if page.next is None:
                return found
            after = {"after": page.next}

    def adapter(self, adapter_id: str) -> Adapter:
        """Raises NotFound."""
        return self._call(Adapter.parse, "GET", f"/api/v1/adapters/{_segment(adapter_id)}")

    def delete_adapter(self, adapter_id: str) -> None:
        """No new job can have it; those that do go on. Raises NotFound."""
        self._delete(f"/api/v1/adapters/{_segment(adapter_id)}")

    def cost(self, job_id: str) -> JobCost:
        """The job's ledger lines; they come within moments of its end."""
        return self._call(JobCost.parse, "GET", f"/api/v1/jobs/{_segment(job_id)}/cost")

    def status(self, job_id: str, wait_s: int | None = None) -> Job:
        """The job now, or with `wait_s` (seconds) once it has news or the time is up."""
        path = f"/api/v1/status/{_segment(job_id)}"
        if wait_s is None:
            return self._call(Job.parse, "GET", path)
        return self._call(Job.parse, "GET", path, params={"wait": wait_s}, timeout=self._timeout_s + wait_s)

    def jobs(self, *, state: str | None = None, limit: int = 20, after: str | None = None) -> Page:
        """One page of jobs, newest first."""
        query = {"state": state, "limit": limit, "after": after}
        wanted = {name: value for name, value in query.items() if value is not None}
        return self._call(Page.parse, "GET", "/api/v1/jobs", params=wanted)

    def all_jobs(self, *, state: str | None = None, page: int = 100) -> Iterator[Job]:
        """Every job, page by page."""
        after = None
        while True:
            found = self.jobs(state=state, limit=page, after=after)
            yield from found.jobs
            if not found.has_more or found.next is None:
                return
            after = found.next

    def cancel(self, job_id: str) -> Job:
        """Ask for the end of a job; what has ended stays as it is."""
        return self._call(Job.parse, "POST", f"/api/v1/jobs/{_segment(job_id)}/cancel")

    def preview(self, job_id: str, after: int = 0) -> Iterator[PreviewEvent]:
        """The job's pictures above frame number `after` as they are made, then its PreviewEnd.

        Pictures may be left out; the end may not. A broken stream is opened again behind the last number.
        """
        return follow(self._http, f"/api/v1/preview/{_segment(job_id)}/stream", after)

    def decisions(self, job_id: str) -> list[Decision]:
        """Why the job ran where it ran, or why it waits; oldest first."""
        return self._call(rows(Decision.parse), "GET", f"/api/v1/jobs/{_segment(job_id)}/decisions")

    def nodes(self) -> list[Node]:
        """Every node that ever registered."""
        return self._call(rows(Node.parse), "GET", "/api/v1/nodes")

    def drain(self, node_id: str, drain: bool = True) -> Node:
        """Give a node no new work, or with `drain` false work again; for administrators."""
        return self._call(Node.parse, "POST", f"/api/v1/nodes/{_segment(node_id)}/drain", json={"drain": drain})

    def pools(self) -> list[Pool]:
        """How the pools are doing."""
        return self._call(rows(Pool.parse), "GET", "/api/v1/pools")

    def providers(self) -> list[Provider]:
        """The paid providers in the order in which they are fallen back to."""
        return self._call(rows(Provider.parse), "GET", "/api/v1/providers")

    def models(self) -> list[Model]:
        """What can be asked for."""
        return self._call(rows(Model.parse), "GET", "/api/v1/models")

    def wait(self, job_id: str, timeout_s: float = 600.0, on_progress: Callable[[Job], None] | None = None) -> Job:
        """Return the job once it is DELIVERED; `on_progress` sees every answer on the way.

        Raises JobFailed when it ends otherwise, WaitTimeout after `timeout_s` seconds (the job goes on).
        """
        deadline = time.monotonic() + timeout_s
        job, tag = self._news(job_id)
        while True:
            if on_progress is not None:
                on_progress(job)
            if job.ended:
                break
            left = deadline - time.monotonic()
            if left <= 0:
                raise WaitTimeout(job, timeout_s)
            asked = time.monotonic()
            # Only who shows progress names what it has seen, and so is answered at every step.
            job, tag = self._news(job_id, max(1, min(POLL_S, int(left))), tag if on_progress else None, job)
            if not job.ended:
                time.sleep(max(0.0, MIN_POLL_INTERVAL_S - (time.monotonic() - asked)))
        if job.state != "DELIVERED":
            raise JobFailed(job)
        return job

    def download(self, job_id: str, path: str | PathLike[str], format: str | None = None) -> Path:
        """Write the video to `path`, whole or not at all; returns the path. `format`: one of its renditions.

        Raises DownloadFailed when it arrives cut short, OSError when it cannot be written.
        """
        query = f"?format={quote(format)}" if format else ""
        return save(self._http, f"/api/v1/jobs/{_segment(job_id)}/video{query}", Path(path))

    def api_keys(self) -> list[ApiKey]:
        """Your valid API keys, newest first, without their secrets."""
        return self._call(lambda body: [ApiKey.parse(one) for one in body["data"]], "GET", "/api/v1/keys")

    def create_key(self, name: str, scopes: Sequence[str] | None = None) -> ApiKey:
        """Make a key for `scopes` (generate, read, admin; the first two by default); `secret` is the key.

        Raises Invalid, and Forbidden when the key in use lacks the scope admin.
        """
        body = {"name": name} | ({"scopes": list(scopes)} if scopes is not None else {})
        return self._call(ApiKey.parse, "POST", "/api/v1/keys", json=body)

    def revoke_key(self, key_id: str) -> None:
        """Have the key refused, everywhere within seconds. Raises NotFound."""
        self._delete(f"/api/v1/keys/{_segment(key_id)}")

    def _news(
        self, job_id: str, wait_s: int = 0, tag: str | None = None, known: Job | None = None
    ) -> tuple[Job, str | None]:
        """The job and its tag, once it differs from `known`, whose tag is given, or else once it has ended.

        After `wait_s` seconds as it then is.
        """
        path = f"/api/v1/status/{_segment(job_id)}"
        request = self._http.build_request(
            "GET",
            path,
            params={"wait": wait_s},
            headers={"If-None-Match": tag} if tag else {},
            timeout=self._timeout_s + wait_s,
        )
        response = send(self._http, request)
        if response.status_code == 304 and known is not None:
            return known, tag
        return self._parsed(response, Job.parse), response.headers.get("etag")

    def _call(self, parse: Callable[[Mapping[str, Any]], T], method: str, path: str, **options: Any) -> T:
        return self._parsed(send(self._http, self._http.build_request(method, path, **options)), parse)

    def _delete(self, path: str) -> None:
        response = send(self._http, self._http.build_request("DELETE", path))
        if response.status_code >= 400:
            raise problem(response)

    @staticmethod
    def _parsed(response: httpx.Response, parse: Callable[[Mapping[str, Any]], T]) -> T:
        if response.status_code >= 400:
            raise problem(response)
        try:
            return parse(response.json())
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            asked = f"{response.request.method} {response.request.url.path}"
            detail = f"the answer to {asked} is not what the API promises ({error!r})"
            raise ServerFault(response.status_code, "unexpected_answer", detail) from error


def _body(
    prompt: str, image: Picture | None, adapters: Mapping[str, float] | None, options: Mapping[str, Any]
) -> dict[str, Any]:
    """A job's fields, those left out that are None. Raises OSError for a picture that cannot be read."""
    fields = {
        "prompt": prompt,
        **options,
        # The picture goes along, so that a repeated request is the same one.
        "image": None if image is None else image_field(image),
        "adapters": [{"id": id, "scale": scale} for id, scale in adapters.items()] if adapters else None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _segment(job_id: str) -> str:
    """An id as one path segment, whatever was typed."""
    return quote(job_id, safe="")
