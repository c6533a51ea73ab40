"""Who calls cost."""
