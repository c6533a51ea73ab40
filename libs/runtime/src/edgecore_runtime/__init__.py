"""The chassis every service shares: settings, logs, traces, metrics, health, database, events, object store."""
