"""The HTTP application: routes, and what surrounds every one of them."""

from typing import Any

from fastapi import FastAPI
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

from edgecore_gateway.entrypoints import (
    admin,
    analytics,
    auth,
    budgets,
    decisions,
    estimate,
    fleet,
    generate,
    jobs,
    keys,
    lora_adapters,
    preview,
    preview_page,
    problems,
    studio,
    uploads,
    video,
)
from edgecore_gateway.entrypoints.caller import SCHEMES
from edgecore_gateway.entrypoints.edge import Edge
from edgecore_gateway.entrypoints.parts import Parts
from edgecore_gateway.entrypoints.schemas import Problem
from edgecore_runtime.health import Health

UNTRACED = "/health,/metrics,/docs,/openapi.json"


def create_app(parts: Parts) -> FastAPI:
    """The app of one gateway."""
    app = with_routes(parts.health)
    app.state.parts = parts
    problems.install(app)
    app.add_middleware(Edge)
    FastAPIInstrumentor.instrument_app(app, excluded_urls=UNTRACED, exclude_spans=["receive", "send"])
    return app


def with_routes(health: Health) -> FastAPI:
    """Every route and its description, without what answers them."""
    app = FastAPI(
        title="EDGECORE",
        version="1",
        description="Text in, video out: jobs that are accepted once and end once.",
        redoc_url=None,
        redirect_slashes=False,
    )
    for routes in (
        generate.router,
        jobs.router,
        decisions.router,
        fleet.router,
        video.router,
        auth.router,
        keys.router,
        admin.router,
        analytics.router,
        estimate.router,
        uploads.router,
        lora_adapters.router,
        budgets.router,
        preview.router,
        preview_page.router,
    ):
        app.include_router(routes)
    app.include_router(health.router())
    app.include_router(studio.router)
    _complete_openapi(app)
    return app


def _complete_openapi(app: FastAPI) -> None:
    """Name the API key, and put our problems in the place of the framework's error schemas that no route uses."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        document = made()
        components = document["components"]
        for name in ("HTTPValidationError", "ValidationError"):
            components["schemas"].pop(name, None)
        problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        components["schemas"].update(problem.pop("$defs", {}), Problem=problem)
        components["securitySchemes"] = SCHEMES
        document["security"] = [{name: []} for name in SCHEMES]
        return document

    app.openapi = openapi  # type: ignore[method-assign]
