"""GET /: EDGECORE Studio, the built bundle of web/ that is part of this package."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from fastapi import APIRouter, Request, Response
from starlette.staticfiles import StaticFiles

FOLDER = Path(__file__).parent.parent / "studio"
HEADERS = {
    # Nothing but our own files; videos and frames come as blobs, because their bytes need a sign-in.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " img-src 'self' blob:; media-src blob:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    # File names carry no hash: browsers ask every time, and are told by ETag that nothing changed.
    "Cache-Control": "no-cache",
}


def _router() -> APIRouter:
    router = APIRouter(include_in_schema=False)
    for file in sorted(path for path in FOLDER.rglob("*") if path.is_file()):
        path = "/" if file.name == "index.html" else f"/{file.relative_to(FOLDER).as_posix()}"
        router.add_api_route(path, _serving(file), methods=["GET", "HEAD"])
    return router


def _serving(file: Path) -> Callable[[Request], Awaitable[Response]]:
    async def serve(request: Request) -> Response:
        response = FILES.file_response(file, file.stat(), request.scope)
        response.headers.update(HEADERS)
        return response

    return serve


FILES = StaticFiles(directory=FOLDER)
router = _router()
