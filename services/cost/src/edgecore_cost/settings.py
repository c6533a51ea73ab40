"""The cost service's settings."""

from edgecore_runtime.settings import DatabaseSettings, KafkaSettings, ServiceSettings, setting


class Settings(ServiceSettings, DatabaseSettings, KafkaSettings):
    """Everything the cost service can be told from outside."""

    grpc_host: str = setting("127.0.0.1", unit="address", reason="where the gateway and others ask")
    grpc_port: int = setting(9092, unit="port", reason="0 picks a free one", ge=0, le=65535)
    fallback_backends: str = setting(
        "", unit="names, comma", reason="paid providers that a reservation may cover, in order; empty: none"
    )
    fallback_models: str = setting(
        "",
        unit="backend=model, comma",
        reason="what the provider nodes order, where it is not the catalogue's choice",
    )
    catalogue_file: str = setting("", unit="path", reason="a catalogue in place of the shipped one")
    default_budget: float = setting(
        -1.0, unit="USD a month", reason="of users without a budget of their own; negative: unlimited", le=1e9
    )
    default_device: str = setting("cpu", unit="device", reason="what a job is priced on while no node is known")
    orphan_seconds: float = setting(
        900.0,
        unit="seconds",
        reason="after which a reservation whose job nobody saw is released; it comes back with the job",
        ge=1,
    )
    measured_window: int = setting(
        400, unit="attempts", reason="newest measured ones a prediction is fitted on, per model and device", ge=20
    )
    refit_interval: float = setting(5.0, unit="seconds", reason="between two looks for new measurements", gt=0)

    @property
    def backends(self) -> list[str]:
        """The paid providers in order."""
        return [name for name in (one.strip() for one in self.fallback_backends.split(",")) if name]

    @property
    def models(self) -> dict[str, str]:
        """What each provider's node orders, where it is said."""
        pairs = (one.partition("=") for one in self.fallback_models.split(","))
        return {backend.strip(): model.strip() for backend, _, model in pairs if model.strip()}
