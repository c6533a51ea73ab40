"""Every test folder of the house shares the runtime's testing kit."""

pytest_plugins = ["edgecore_runtime.testing"]
