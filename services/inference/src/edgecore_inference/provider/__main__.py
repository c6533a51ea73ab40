"""`python -m edgecore_inference.provider serve|settings`."""

from edgecore_inference.provider.bootstrap import build
from edgecore_inference.provider.settings import Settings
from edgecore_runtime import main

main.run("inference.provider", Settings, build)
