"""Rules without I/O and without a framework."""
