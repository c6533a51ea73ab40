"""The preview service's settings."""

from edgecore_runtime.settings import ServiceSettings, setting


class Settings(ServiceSettings):
    redis_url: str = setting(
        ..., unit="URL", reason="where frames are kept for a while, shared by all replicas", pattern="^rediss?://"
    )
    grpc_host: str = setting("127.0.0.1", unit="address", reason="where nodes and the gateway connect")
    grpc_port: int = setting(9091, unit="port", reason="0 picks a free one", ge=0, le=65535)
    frame_bytes: int = setting(
        256 * 1024,
        unit="bytes",
        reason="a larger picture is dropped; 480p in JPEG has 20 to 100 kB",
        ge=1024,
        le=2 * 1024 * 1024,
    )
    kept_frames: int = setting(
        64, unit="frames", reason="a job's, for those who come back; bounds Redis at 16 MiB a job", ge=1, le=1000
    )
    kept_seconds: int = setting(
        300, unit="seconds", reason="after a job's last frame, long enough to reconnect", ge=5, le=86_400
    )
    backlog_bytes: int = setting(
        16 * 1024 * 1024,
        unit="bytes",
        reason="frames waiting for a slow Redis; the oldest is dropped for the newest",
        ge=1024 * 1024,
        le=1024 * 1024 * 1024,
    )
    write_timeout: float = setting(
        1.0, unit="seconds", reason="Redis is away after that; an older frame is worth nothing", gt=0, le=30
    )
    jobs_most: int = setting(
        500, unit="jobs", reason="watched at the same time; each holds one Redis connection", ge=1, le=10_000
    )
    viewers_most: int = setting(
        5000, unit="viewers", reason="of all jobs together; further ones are refused", ge=1, le=100_000
    )
