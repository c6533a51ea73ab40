"""Training: one loop (`loop`), a module a lesson, TOML configurations, folders of videos (`folder`)."""
