"""The scheduler's settings."""

from edgecore_runtime.settings import DatabaseSettings, KafkaSettings, ServiceSettings, setting


class Settings(ServiceSettings, DatabaseSettings, KafkaSettings):
    """Everything the scheduler can be told from outside."""

    grpc_host: str = setting("127.0.0.1", unit="address", reason="where nodes and the gateway connect")
    grpc_port: int = setting(9090, unit="port", reason="0 picks a free one", ge=0, le=65535)
    lease_ttl: float = setting(
        10.0, unit="seconds", reason="silence after which a node's job goes to another", ge=1, le=600
    )
    heartbeat_interval: float = setting(
        2.0, unit="seconds", reason="several beats must fit into a lease", gt=0, le=60
    )
    attempt_limit: int = setting(5, unit="attempts", reason="failures after which a job is given up", ge=1, le=100)
    attempt_time_limit: float = setting(
        900.0, unit="seconds", reason="the longest one attempt may take", ge=1, le=86400
    )
    retry_pause: float = setting(
        0.5, unit="seconds", reason="pause before the second attempt; doubles, with jitter", gt=0, le=60
    )
    fallback_backends: str = setting(
        "",
        unit="names",
        reason="paid providers in the order to try them, with commas; empty: none",
        pattern=r"^([a-z0-9_-]+(,[a-z0-9_-]+)*)?$",
    )
    backend_attempts: int = setting(
        2, unit="attempts", reason="failures on one backend before the next one is tried", ge=1, le=100
    )
    fallback_wait: float = setting(
        60.0, unit="seconds", reason="without a node before a job may go to a provider", ge=0, le=86400
    )
    verdict_wait: float = setting(
        300.0,
        unit="seconds",
        reason="for a provider's lost node to come back and say what became of its order",
        ge=0,
        le=86400,
    )
    breaker_pause: float = setting(
        30.0, unit="seconds", reason="a failing provider's first rest; doubles up to 16-fold", gt=0, le=3600
    )
    unsecured_jobs: int = setting(
        3, unit="jobs", reason="a user's, begun while cost is away and not decided since", ge=0, le=1000
    )

    @property
    def providers(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for name in self.fallback_backends.split(",") if name))
