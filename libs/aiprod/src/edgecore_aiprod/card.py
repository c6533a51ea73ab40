"""`python -m edgecore_aiprod.card`: the model card of a checkpoint folder, from its config.json alone.

The card's words are `data/card.md`; its facts are the architecture, the files, and what "training" and
"evaluation" say. An evaluation is a list of figures as `make bench` prints them: objects with "name" and
"value", and where there is more to say "unit", "baseline", "target" and "n".
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from edgecore_aiprod.rules import MODEL_RULES, ModelRules

CARD = "README.md"
_WORLD = """\
Nothing was filmed: `edgecore_aiprod.world` renders one of nine colours × circle, square, heart, moving in one
of nine ways over a plain or textured ground, and `edgecore_aiprod.captions` says it in free English, or with
the names that Unicode CLDR has in 102 languages."""
_MT5 = """\
Text is read by mT5, whose weights are no part of this folder: `config.json` names them by their SHA-256, and
they are looked for in the folder that the environment's EDGECORE_MT5 names."""
_BYTES = "Text is read as bytes: any script, no tokenizer file."


def model_card(config: Mapping[str, Any]) -> str:
    """The README.md of a folder with this config.json."""
    params, blocks = config["params"], config["params"]["backbone"]["blocks"]
    training: Mapping[str, Any] = config.get("training", {})
    count = sum(file.get("parameters", 0) for file in config["files"].values())
    template = resources.files("edgecore_aiprod").joinpath("data/card.md").read_text(encoding="utf-8")
    return Template(template).substitute(
        name=params["name"],
        parameters=f"{count / 1e6:,.1f} million",
        attention=blocks.count("A"),
        convolution=blocks.count("C"),
        files="\n".join(_file_row(name, file) for name, file in config["files"].items()),
        text=_MT5 if params["text"].get("kind") == "mt5" else _BYTES,
        data=_WORLD if training else "None: it is not trained.",
        training=_training(training),
        figures=_figures(config.get("evaluation", [])),
        limits=_limits(MODEL_RULES.get(params["name"]) if training else None),
    )


def _limits(rules: ModelRules | None) -> str:
    if rules is None:
        return "Nothing is promised for any prompt or size."
    return (
        f"Trained for: {rules.trained}. Other sizes that the rules accept ({rules.width.low}–"
        f"{rules.width.high} pixels a side, {rules.frames.low}–{rules.frames.high} frames) run, and their "
        "quality is not promised; a prompt outside of what it was trained for makes something of that."
    )


def _file_row(name: str, file: Mapping[str, Any]) -> str:
    parameters = f"{file['parameters']:,}" if "parameters" in file else "–"
    return f"| `{name}` | {parameters} | {file['bytes']:,} | `{file['sha256']}` |"


def _training(training: Mapping[str, Any]) -> str:
    if not training:
        return "None: the weights are random."
    rows = [
        "From nothing, by the library's own trainer.",
        "",
        "| lesson | what its log ended with |",
        "|---|---|",
    ]
    for lesson, facts in training.items():
        said = facts.items() if isinstance(facts, Mapping) else [("", facts)]
        rows.append(f"| {lesson} | {', '.join(f'{key} {_shown(value)}'.strip() for key, value in said)} |")
    return "\n".join(rows)


def _figures(evaluation: Iterable[Mapping[str, Any]]) -> str:
    rows = [
        f"| {figure['name']} | {_shown(figure['value'])} {figure.get('unit', '')} | "
        + " | ".join(_shown(figure.get(key)) for key in ("baseline", "target", "n"))
        + " |"
        for figure in evaluation
    ]
    if not rows:
        return "None were measured on these weights."
    return "\n".join(["| what | value | beside | asked | of |", "|---|---|---|---|---|", *rows])


def _shown(value: object) -> str:
    if value is None:
        return "–"
    text = (
        f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
    )
    return " ".join(text.replace("|", "/").split())


def read_figures(path: Path) -> list[dict[str, Any]]:
    """A benchmark's figures: one object, or several under "figures". Raises ValueError naming the file."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        figures: list[dict[str, Any]] = found.get("figures", [found])
        return [
            {key: one[key] for key in ("name", "value", "unit", "baseline", "target", "n") if key in one}
            | {"name": one.get("name", found.get("name")), "value": one["value"]}
            for one in figures
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: is no file of figures: {error!r}") from error


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m edgecore_aiprod.card", description=__doc__)
    parser.add_argument("folder", type=Path, help="checkpoint folder whose README.md is written")
    parser.add_argument(
        "--figures", type=Path, nargs="+", metavar="JSON", help="benchmarks' results; replace config.json's"
    )
    options = parser.parse_args(arguments)
    path: Path = options.folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        if options.figures:
            config["evaluation"] = [figure for file in options.figures for figure in read_figures(file)]
        card = model_card(config)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        print(f"{path}: {error}", file=sys.stderr)
        return 1
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (options.folder / CARD).write_text(card, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
