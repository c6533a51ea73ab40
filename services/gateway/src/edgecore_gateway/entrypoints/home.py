"""GET /: what this is and where to go on, for a person with a browser."""

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

router = APIRouter(include_in_schema=False)

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>EDGECORE</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:4rem auto;padding:0 1rem}
code{background:#8882;padding:.1em .3em}</style>
<h1>EDGECORE</h1>
<p>A self-hosted platform that turns text into video. This is its gateway.</p>
<p><code>POST /api/v1/generate</code> with <code>{"prompt": "a red circle moving right"}</code> and your API key
as <code>Authorization: Bearer edge_…</code> makes one.</p>
<ul>
<li><a href="/docs">The API, to read and to try</a></li>
<li><a href="/openapi.json">OpenAPI 3.1</a></li>
<li><a href="/health">Health</a></li>
<li><a href="/metrics">Metrics</a></li>
</ul>
</html>
"""
HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"}


@router.get("/")
async def home() -> HTMLResponse:
    return HTMLResponse(PAGE, headers=HEADERS)
