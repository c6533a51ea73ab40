"""What the scheduler decides, without I/O."""
