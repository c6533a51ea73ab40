"""What the node counts."""

from prometheus_client import Counter, Gauge, Histogram

SECONDS_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)

ATTEMPTS = Counter("edgecore_inference_attempts", "Attempts that ended, by how.", ["outcome", "reason"])
STAGE_SECONDS = Histogram(
    "edgecore_inference_stage_seconds", "Seconds of an attempt's stages.", ["stage"], buckets=SECONDS_BUCKETS
)
ENGINE_STARTS = Counter("edgecore_inference_engine_starts", "Engines that became ready.")
CONNECTED = Gauge("edgecore_inference_scheduler_connected", "1 while the scheduler has welcomed this node.")
