"""Analytics' settings."""

from edgecore_runtime.settings import DatabaseSettings, KafkaSettings, ServiceSettings, setting


class Settings(ServiceSettings, DatabaseSettings, KafkaSettings):
    """Everything analytics can be told from outside."""

    grpc_host: str = setting("127.0.0.1", unit="address", reason="where the gateway connects")
    grpc_port: int = setting(9093, unit="port", reason="0 picks a free one", ge=0, le=65535)
    retention_days: int = setting(
        400, unit="days", reason="jobs accepted earlier are forgotten; the longest question is 366", ge=1, le=3660
    )
    gauge_interval: float = setting(
        5.0, unit="seconds", reason="how old the gauges of open jobs, pools and nodes may be", ge=0.1, le=300
    )
