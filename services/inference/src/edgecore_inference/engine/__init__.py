"""The engine: a process of its own that holds the model, `python -m edgecore_inference.engine`."""
