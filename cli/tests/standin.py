"""A stand-in for a service: the same command line, environment, health routes and signals, and no more.

EDGECORE_STANDIN_<NAME> makes it misbehave:
    unready          never answers 200        no-checkpoint   one line, then exit code 3
    refuse           exits at once, code 1    stubborn        ignores SIGTERM
"""

import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from edgecore_runtime.embedded.process import exit_when_parent_dies


def main(name: str) -> None:
    if sys.argv[1] == "outbox-replay":
        sys.stdout.write("7\n")
        return
    fault = os.environ.get(f"EDGECORE_STANDIN_{name.upper()}", "")
    exit_when_parent_dies(grace_s=1.0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN if fault == "stubborn" else lambda *_: os._exit(0))
    if fault == "no-checkpoint":
        sys.stderr.write("no checkpoint: run make train\n")
        sys.stderr.flush()
        os._exit(3)
    if fault == "refuse":
        sys.exit(f"{name} does not want to")
    if key_file := os.environ.get("EDGECORE_DEV_KEY_FILE"):
        with open(key_file, "w") as file:
            file.write("edge_standin")
    serve(ready=fault != "unready")


def serve(ready: bool) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if ready else 503)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    address = os.environ["EDGECORE_HTTP_HOST"], int(os.environ["EDGECORE_HTTP_PORT"])
    ThreadingHTTPServer(address, Handler).serve_forever()
