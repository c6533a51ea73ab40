"""Fans clean intermediate frames out to viewers; drops frames, never blocks a node."""
