"""Training: one loop (`loop`), four lessons (`vae`, `text`, `backbone`, `decoder`), TOML configurations."""
