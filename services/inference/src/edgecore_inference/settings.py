"""The node's settings."""

from edgecore_runtime.settings import ObjectStoreSettings, ServiceSettings, setting


class Settings(ServiceSettings, ObjectStoreSettings):
    scheduler_address: str = setting(..., unit="host:port", reason="its gRPC", pattern=r"^.+:\d+$")
    node_id: str = setting(
        "", unit="name", reason="its identity; empty: the host's name", pattern=r"^[\w.-]{0,63}$"
    )
    pool: str = setting("default", unit="name", reason="nodes of a pool are alike", pattern=r"^[\w.-]{1,63}$")
    scratch_directory: str = setting(
        "var/scratch", unit="path", reason="files of the running attempt; emptied at start", min_length=1
    )
    checkpoint: str = setting("", unit="path", reason="the model's folder; empty: the shipped nano")
    engine_threads: int = setting(
        1,
        unit="threads",
        reason="of the model on the CPU; more only with cores that nobody else wants",
        ge=1,
        le=256,
    )
    engine_start_seconds: float = setting(
        60.0, unit="seconds", reason="an engine that loads longer is killed", gt=0, le=3600
    )
    engine_grace_seconds: float = setting(
        3.0, unit="seconds", reason="between the wish to stop a job and killing its engine", gt=0, le=120
    )
    preview_address: str = setting(
        "", unit="host:port", reason="the preview service's gRPC; empty: no previews", pattern=r"^(.+:\d+)?$"
    )
    preview_share: float = setting(
        0.1, unit="share", reason="what previews may take of the time that sampling takes; 0: none", ge=0, le=1
    )
    drain_seconds: float = setting(
        5.0, unit="seconds", reason="how long SIGTERM waits for the running job", ge=0, le=10
    )
