"""`python -m edgecore_cli` is the same as `edgecore`."""

from edgecore_cli.app import main

main()
