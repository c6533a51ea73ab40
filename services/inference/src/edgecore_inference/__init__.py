"""The inference node: an agent that speaks with the scheduler, and an engine process that holds the model."""
