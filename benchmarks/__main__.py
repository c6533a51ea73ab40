"""`python -m benchmarks [NAME [OPTIONS]]`: run one benchmark, print its figures as the last line, keep them in
results/. Some have options of their own: `NAME --help`.
"""

import argparse
import importlib
import json
import subprocess
import sys
from pathlib import Path

from benchmarks.page import write_page
from benchmarks.result import RESULTS, stamp
from edgecore_aiprod import AiprodError

NAMES = {
    "demo": "make demo, twice: time of each phase",
    "model-detector": "the detector on 2,000 rendered scenes, and at other sizes and lengths",
    "model-languages": "the detector on clips for captions in 102 languages, and in free English",
    "model-vae": "the autoencoder on unseen clips, beside as many values of a smaller clip",
    "model-hybrid": "the speed of the hybrid backbone beside its attention-only twin: nano, and base untrained",
    "model-twin": "what nano's hybrid backbone learns beside its attention-only twin, and how fast",
    "model-distilled": "four steps of the distilled variant beside twenty of the standard one",
    "model-flow": "does motion follow the field that is asked for, at strengths 0, ½ and 1",
    "model-lora": "an adapter for an object nano has never seen: what it learns, and what it forgets",
    "model-speed": "one clip of 17 frames at 128×128, through the upsampler, and at 64×64",
    "model-threads": "seconds of a clip on one thread and on two, alone and with a second engine beside",
    "model-memory": "memory of one pass of base beside attention alone, each in a process of its own",
    "model-tiles": "memory and time of decoding a large clip of base in tiles, beside in one piece",
    "submit": "POST /generate with 32 clients, beside a bare FastAPI no-op",
    "crash": "kill -9 at every crash point and at random times; then the history checker",
    "up": "edgecore up: seconds to ready, memory by process",
    "house-kill": "kill -9 of each of the seven services while 100 jobs run; then histories and books",
    "preview-latency": "from a node's send to a WebSocket's receive of a frame, with 1 and with 20 viewers",
    "house-fallback": "a provider that is down, slow, refuses or fails: what becomes of the jobs",
    "house-estimate": "the predictor of seconds and cost on unseen sizes × frames × steps, by the real pipeline",
    "house-e2e": "one end-to-end suite: on the local stack, on real Kafka, on the cluster",
    "house-operator": "a GPUPool of no nodes when a job comes: what `make test-cluster` saw",
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench NAME=… ARGS=…", description=__doc__, add_help=False)
    parser.add_argument("name", nargs="?", choices=sorted(NAMES))
    parser.add_argument("--seed", type=int, default=20261121)
    name = parser.parse_known_args()[0].name
    benchmark = None if name is None else importlib.import_module(f"benchmarks.{name.replace('-', '_')}")
    if benchmark is not None and hasattr(benchmark, "add_options"):
        benchmark.add_options(parser)
    parser.add_argument("-h", "--help", action="help")
    options = vars(parser.parse_args())
    if benchmark is None:
        for listed, about in NAMES.items():
            print(f"{listed:16s} {about}")
        return
    seed = {"seed": options.pop("seed")}
    changed = {
        key: value.name if isinstance(value, Path) else str(value)
        for key, value in options.items()
        if value != parser.get_default(key)
    }
    del options["name"], changed["name"]
    result = benchmark.run(**seed, **options) | seed | ({"options": changed} if changed else {})
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(result | stamp(), indent=2) + "\n")
    write_page(Path("docs/benchmarks.md"), RESULTS)
    print(json.dumps(result))
    sys.exit(0 if all(figure["ok"] for figure in result["figures"]) else 1)


if __name__ == "__main__":
    try:
        main()
    except (subprocess.CalledProcessError, AiprodError) as error:
        sys.exit(f"benchmark failed: {error}")
