"""The HTTP application: routes, and what surrounds every one of them."""

from typing import Any

from fastapi import FastAPI
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

from edgecore_gateway.entrypoints import generate, home, jobs, problems, video
from edgecore_gateway.entrypoints.caller import SCHEME
from edgecore_gateway.entrypoints.edge import Edge
from edgecore_gateway.entrypoints.parts import Parts
from edgecore_gateway.entrypoints.schemas import Problem

UNTRACED = "/health,/metrics,/docs,/openapi.json"


def create_app(parts: Parts) -> FastAPI:
    """The app of one gateway."""
    app = FastAPI(
        title="EDGECORE",
        version="1",
        description="Text in, video out: jobs that are accepted once and end once.",
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.parts = parts
    problems.install(app)
    for routes in (generate.router, jobs.router, video.router):
        app.include_router(routes)
    app.include_router(parts.health.router())
    app.include_router(home.router)
    app.add_middleware(Edge)
    FastAPIInstrumentor.instrument_app(app, excluded_urls=UNTRACED, exclude_spans=["receive", "send"])
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
        components["securitySchemes"] = {"ApiKey": SCHEME}
        document["security"] = [{"ApiKey": []}]
        return document

    app.openapi = openapi  # type: ignore[method-assign]
