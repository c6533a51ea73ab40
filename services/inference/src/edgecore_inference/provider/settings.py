"""The provider node's settings."""

from edgecore_runtime.settings import ObjectStoreSettings, ServiceSettings, setting


class Settings(ServiceSettings, ObjectStoreSettings):
    scheduler_address: str = setting(..., unit="host:port", reason="its gRPC", pattern=r"^.+:\d+$")
    node_id: str = setting(
        "", unit="name", reason="its identity; empty: the provider's name", pattern=r"^[\w.-]{0,63}$"
    )
    pool: str = setting("providers", unit="name", reason="shown in lists", pattern=r"^[\w.-]{1,63}$")
    provider: str = setting(..., unit="name", reason="who makes the videos", pattern="^(runway|replicate)$")
    provider_api_key: str = setting(..., unit="secret", reason="the account that pays", min_length=1)
    provider_url: str = setting(
        "",
        unit="URL",
        reason="empty: the provider's own; an http one allows http links",
        pattern="^(https?://.+)?$",
    )
    provider_model: str = setting("", unit="name", reason="the provider's name of a model; empty: a good one")
    provider_capacity: int = setting(
        2, unit="orders", reason="at a time; accounts have limits of their own", ge=1, le=100
    )
    provider_poll_seconds: float = setting(
        5.0, unit="seconds", reason="between two looks at a task; Runway asks for 5 or more", gt=0, le=300
    )
    scratch_directory: str = setting(
        "var/scratch", unit="path", reason="files of running attempts; emptied at start", min_length=1
    )
    orders_directory: str = setting(
        "var/orders", unit="path", reason="which orders were placed; must survive a restart", min_length=1
    )
    drain_seconds: float = setting(
        5.0, unit="seconds", reason="how long SIGTERM waits for running orders", ge=0, le=10
    )
