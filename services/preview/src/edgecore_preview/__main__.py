"""`python -m edgecore_preview serve|settings`"""

from edgecore_preview.bootstrap import NAME, build
from edgecore_preview.settings import Settings
from edgecore_runtime.main import run

if __name__ == "__main__":
    run(NAME, Settings, build)
