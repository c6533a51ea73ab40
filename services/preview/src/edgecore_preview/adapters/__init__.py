"""Redis, the way of frames into it, and the way out to viewers."""
