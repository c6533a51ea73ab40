"""The preview service, wired."""

from fastapi import FastAPI

from edgecore.preview.v1 import preview_pb2_grpc
from edgecore.preview.v1.preview_pb2 import DESCRIPTOR
from edgecore_preview.adapters.fan_out import FanOut
from edgecore_preview.adapters.intake import Intake
from edgecore_preview.adapters.store import FrameStore
from edgecore_preview.entrypoints.grpc_service import PreviewService
from edgecore_preview.settings import Settings
from edgecore_runtime.clock import Clock, SystemClock
from edgecore_runtime.grpc_server import GrpcServer
from edgecore_runtime.health import Health
from edgecore_runtime.http import HttpServer
from edgecore_runtime.service import Background, Component, Service

NAME = "preview"


def build(settings: Settings, clock: Clock | None = None) -> Service:
    """The whole service, not yet started; Redis may be away."""
    store = FrameStore(settings.redis_url, settings.kept_frames, settings.kept_seconds, settings.jobs_most)
    intake = Intake(store, settings.frame_bytes, settings.backlog_bytes, settings.write_timeout)
    fan_out = FanOut(store, clock or SystemClock(), settings.jobs_most, settings.viewers_most)
    service = PreviewService(store, intake, fan_out)
    grpc_server = GrpcServer(
        settings.grpc_host,
        settings.grpc_port,
        [DESCRIPTOR.services_by_name["PreviewService"].full_name],
        lambda server: preview_pb2_grpc.add_PreviewServiceServicer_to_server(service, server),
    )

    health = Health()
    health.ready["redis"] = store.check
    app = FastAPI(title="EDGECORE preview", openapi_url=None)
    app.include_router(health.router())
    components: list[Component] = [
        store,
        Background("intake", intake.run),
        grpc_server,
        fan_out,  # stopped before the server, so that no viewer's call holds it up
        HttpServer(app, settings.http_host, settings.http_port),
    ]
    return Service(NAME, components, health, settings.drain_delay)
