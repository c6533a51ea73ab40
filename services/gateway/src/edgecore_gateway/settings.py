"""The gateway's settings."""

from edgecore_runtime.settings import (
    DatabaseSettings,
    KafkaSettings,
    ObjectStoreSettings,
    ServiceSettings,
    setting,
)


class Settings(ServiceSettings, DatabaseSettings, KafkaSettings, ObjectStoreSettings):
    scheduler_address: str = setting(
        "", unit="host:port", reason="gRPC, for steps and queue positions; empty: what events say is shown alone"
    )
    dev_key_file: str = setting(
        "", unit="path", reason="a laptop's API key is made and kept here on start; empty: none is made"
    )
    max_body_bytes: int = setting(
        1024 * 1024, unit="bytes", reason="a larger request body is refused with 413", ge=1024, le=64 * 1024 * 1024
    )
    waiting_most: int = setting(
        1000,
        unit="requests",
        reason="waiting at the same time; further ones are answered at once",
        ge=0,
        le=100_000,
    )
    key_cache: float = setting(
        5.0, unit="seconds", reason="how long a revoked key may still pass; spares a query a request", ge=0, le=300
    )
