"""What a frame must be, which is the newest, and how a viewer gets it: no I/O."""
