"""Talking to the API server in JSON, with a deadline on every request."""

import asyncio
import os
from http import HTTPStatus
from typing import Any

import aiohttp
from kubernetes_asyncio import config
from kubernetes_asyncio.client import ApiClient, Configuration

SECONDS = 10.0
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
FIELD_MANAGER = "edgecore-autoscaler"

Object = dict[str, Any]
"""A Kubernetes object as JSON has it."""


class KubernetesError(Exception):
    """The API server refused, or (status 0) did not answer; the next tick tries again."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class Kubernetes:
    """One connection pool to the API server, as the pod's service account or as the kubeconfig says."""

    def __init__(self) -> None:
        self._api: Any = None

    async def start(self) -> None:
        """Read the credentials; the API server itself need not answer yet."""
        configuration: Any = Configuration()
        if os.environ.get("KUBERNETES_SERVICE_HOST"):
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            await config.load_kube_config(client_configuration=configuration)
        self._api = ApiClient(configuration)

    async def stop(self) -> None:
        if self._api is not None:
            await self._api.close()

    async def wait_failed(self) -> None:
        await asyncio.Event().wait()

    async def get(self, path: str, **query: str) -> Object | None:
        """The object, None when there is none. Raises KubernetesError, as all methods here."""
        try:
            return await self._send("GET", path, query=query)
        except KubernetesError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    async def create(self, path: str, body: Object) -> Object:
        return await self._send("POST", path, body)

    async def replace(self, path: str, body: Object) -> Object:
        """Fails with status 409 when the object is not at the body's resourceVersion any more."""
        return await self._send("PUT", path, body)

    async def merge(self, path: str, body: Object) -> Object:
        return await self._send("PATCH", path, body, MERGE)

    async def apply(self, path: str, body: Object) -> Object:
        """Server-side apply: the fields of `body` are ours from now on, whoever had them."""
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        return await self._send("PATCH", path, body, APPLY, query)

    async def _send(
        self,
        method: str,
        path: str,
        body: Object | None = None,
        content_type: str = "application/json",
        query: dict[str, str] | None = None,
    ) -> Object:
        try:
            response = await self._api.call_api(
                path,
                method,
                query_params=list((query or {}).items()),
                header_params={"Accept": "application/json", "Content-Type": content_type},
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _request_timeout=SECONDS,
            )
            answer: Object = await response.json()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise KubernetesError(0, f"the API server does not answer: {error!r}") from error
        if response.status >= HTTPStatus.BAD_REQUEST:
            raise KubernetesError(response.status, str(answer.get("message", answer)))
        return answer
