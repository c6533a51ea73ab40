"""What cost decides, without I/O."""
