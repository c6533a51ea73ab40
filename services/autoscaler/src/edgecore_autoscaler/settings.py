"""The autoscaler's settings."""

from pydantic import model_validator

from edgecore_runtime.settings import DatabaseSettings, KafkaSettings, ServiceSettings, setting


class Settings(ServiceSettings, DatabaseSettings, KafkaSettings):
    """Everything the autoscaler can be told from outside."""

    reconcile_interval: float = setting(
        5.0, unit="seconds", reason="between two looks at a pool; a node takes far longer to start", gt=0, le=300
    )
    pools_file: str = setting(
        "", unit="path", reason="YAML list of pools to observe where there is no cluster; empty: none"
    )
    scheduler_address: str = setting(
        "", unit="host:port", reason="its gRPC, asked before a node is removed; empty: none is ever removed"
    )
    kubernetes: bool = setting(
        False, unit="switch", reason="size GPUPools in a cluster; off: decide and tell, change nothing"
    )
    kubernetes_namespace: str = setting(
        "default", unit="name", reason="where the GPUPools and their pods are", pattern="^[a-z0-9-]{1,63}$"
    )
    pod_template: str = setting(
        "", unit="path", reason="PodTemplateSpec of an inference pod as YAML; needed with EDGECORE_KUBERNETES"
    )
    drain_limit: float = setting(
        960.0, unit="seconds", reason="longer than any attempt may take; then a node goes anyway", gt=0, le=86400
    )
    history_days: int = setting(
        35, unit="days", reason="of arrivals kept for the forecast; five weeks, as two are needed", ge=2, le=400
    )
    seconds_per_job: float = setting(
        5.0, unit="GPU-seconds", reason="a job's work until the scheduler has predicted one", gt=0, le=86400
    )

    @model_validator(mode="after")
    def _template_with_cluster(self) -> "Settings":
        if self.kubernetes and not self.pod_template:
            raise ValueError("EDGECORE_POD_TEMPLATE is required when EDGECORE_KUBERNETES is on")
        return self
