"""docs/benchmarks.md from results/*.json, so that a figure in the text always has its command."""

import json
from pathlib import Path
from typing import Any

HEAD = """# Benchmarks
Generated from `results/*.json`; a figure is repeated by the command above its table. A commit with a + had
uncommitted changes when it was measured. Bad results stay in.
"""


def write_page(page: Path, results: Path) -> None:
    """Write the page anew from every result there is."""
    sections = [HEAD] + [_section(json.loads(path.read_text())) for path in sorted(results.glob("*.json"))]
    page.write_text("\n".join(sections))


def _section(result: dict[str, Any]) -> str:
    options = " ".join(f"--{key.replace('_', '-')} {value}" for key, value in result.get("options", {}).items())
    command = f"make bench NAME={result['name']}" + (f' ARGS="{options}"' if options else "")
    lines = [
        f"## {result['name']}",
        f"`{command}` · {result['date']} · commit {result['commit']} · {result['machine']}"
        f" · seed {result['seed']}",
        "",
        "| what | measured | beside | ratio | asked | met | n |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [_row(figure) for figure in result["figures"]]
    lines += ["", *(f"- {note}" for note in result.get("notes", []))]
    return "\n".join(lines).rstrip() + "\n"


def _row(figure: dict[str, Any]) -> str:
    shown = [
        figure["name"],
        f"{figure['value']:g} {figure['unit']}",
        "" if figure["baseline"] is None else f"{figure['baseline']:g} {figure['unit']}",
        "" if figure["ratio"] is None else f"{figure['ratio']:g}",
        figure["target"],
        "yes" if figure["ok"] else "**no**",
        str(figure["n"]),
    ]
    return "| " + " | ".join(shown) + " |"
