"""What the agent leans on: the engine process, the scheduler's stream, the artifact store, scratch files."""
