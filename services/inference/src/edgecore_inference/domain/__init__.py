"""Rules without I/O: leases, the engine's messages, the quality gate, how an attempt ended."""
