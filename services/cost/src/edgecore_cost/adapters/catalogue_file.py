"""The catalogue and the predictor's priors from their data files."""

import tomllib
from importlib import resources
from pathlib import Path

from edgecore_cost.domain import catalogue
from edgecore_cost.domain.catalogue import Catalogue
from edgecore_cost.domain.predictor import Prior

ANY = "any"


class BadCatalogue(ValueError):
    """The file is not a catalogue; its message says what is wrong."""


def load_catalogue(path: str) -> Catalogue:
    """The shipped catalogue for an empty path. Raises BadCatalogue."""
    try:
        return catalogue.parse(tomllib.loads(Path(path).read_text() if path else _shipped("catalogue.toml")))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise BadCatalogue(f"the catalogue {path or '(shipped)'}: {error!r}") from error


def load_priors() -> dict[tuple[str, str], Prior]:
    """By (model, device); ("any", "any") is for all others."""
    return {
        (row["model"], row["device"]): Prior(tuple(row["coefficients"]), row["low"], row["high"], row["source"])
        for row in tomllib.loads(_shipped("priors.toml"))["priors"]
    }


def _shipped(name: str) -> str:
    return resources.files("edgecore_cost").joinpath("data", name).read_text()
