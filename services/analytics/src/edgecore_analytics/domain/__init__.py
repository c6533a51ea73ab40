"""What events add up to, without I/O."""
