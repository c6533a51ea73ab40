"""What autoscaler decides, without I/O."""
