"""GET /preview/{id}: watch one job in a browser. A page of one file; it asks nothing but this gateway.

The key or token is taken from the address after `#`, which browsers do not send, or from a field.
"""

import base64
import hashlib

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

router = APIRouter(include_in_schema=False)

STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:54rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}
canvas{width:100%;max-width:854px;background:#8883;display:block;image-rendering:auto}
form{display:flex;gap:.5rem;margin:1rem 0}input{flex:1;font:inherit}button{font:inherit}
#state{font-weight:600}
"""
SCRIPT = """
"use strict";
const $ = id => document.getElementById(id);
const job = location.pathname.split("/").pop();
const refused = code => code >= 4000 && code < 5000;
let after = 0, pause = 250, socket = null;

function say(state, detail) { $("state").textContent = state; $("detail").textContent = detail || ""; }

async function show(one) {
  const bytes = Uint8Array.from(atob(one.data), c => c.charCodeAt(0));
  const image = await createImageBitmap(new Blob([bytes], {type: one.media_type}));
  const canvas = $("picture");
  canvas.width = image.width; canvas.height = image.height;
  canvas.getContext("2d").drawImage(image, 0, 0);
  image.close();
  say(`step ${one.step} of ${one.steps}`, `picture ${one.frame + 1} of ${one.frames}, attempt ${one.attempt}`);
}

function watch(token) {
  let over = false;
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const address = `${scheme}//${location.host}/api/v1/preview/${job}?after=${after}`;
  const mine = socket = new WebSocket(address, ["edgecore.v1", "bearer." + token]);
  mine.onopen = () => say("connected", "waiting for pictures");
  mine.onmessage = event => {
    const one = JSON.parse(event.data);
    if (one.type === "frame") { after = one.number; pause = 250; show(one).catch(() => {}); }
    if (one.type === "end") { over = true; say(one.state, "the job is over"); }
    if (one.type === "error") { over = refused(4000 + one.status); say(one.code, one.detail); }
  };
  mine.onclose = event => {
    if (over || mine !== socket || refused(event.code)) return;
    say("connection lost", "trying again");
    setTimeout(() => mine === socket && watch(token), pause * (0.5 + Math.random() / 2));
    pause = Math.min(pause * 2, 8000);
  };
}

function begin(token) { $("ask").hidden = true; watch(token.trim()); }
$("ask").addEventListener("submit", event => { event.preventDefault(); begin($("token").value); });
$("job").textContent = job;
const given = decodeURIComponent(location.hash.slice(1));
if (given) { history.replaceState(null, "", location.pathname); begin(given); } else { $("ask").hidden = false; }
"""
PAGE = f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>EDGECORE preview</title>
<style>{STYLE}</style>
<h1>Preview</h1>
<p><code id="job"></code></p>
<form id="ask" hidden><input id="token" type="password" autocomplete="off" required
 aria-label="API key or access token" placeholder="API key or access token"><button>Watch</button></form>
<canvas id="picture" width="854" height="480"></canvas>
<p role="status"><span id="state"></span> <span id="detail"></span></p>
<script>{SCRIPT}</script>
</html>
"""


def _source(text: str) -> str:
    """A CSP source for exactly this inline text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


POLICY = (
    f"default-src 'none'; script-src {_source(SCRIPT)}; style-src {_source(STYLE)}; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@router.get("/preview/{job_id}")
async def preview_page() -> HTMLResponse:
    """The same page for every job: what it may show is decided when it connects."""
    return HTMLResponse(PAGE, headers={"Content-Security-Policy": POLICY})
