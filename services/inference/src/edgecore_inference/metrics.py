"""What the node counts."""

from prometheus_client import Counter, Gauge, Histogram

SECONDS_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)

ATTEMPTS = Counter("edgecore_inference_attempts", "Attempts that ended, by how.", ["outcome", "reason"])
STAGE_SECONDS = Histogram(
    "edgecore_inference_stage_seconds", "Seconds of an attempt's stages.", ["stage"], buckets=SECONDS_BUCKETS
)
ENGINE_STARTS = Counter("edgecore_inference_engine_starts", "Engines that became ready.")
PREVIEWS = Counter(
    "edgecore_inference_previews", "Preview frames, by what became of them: sent, replaced, lost.", ["fate"]
)
PREVIEW_CONNECTIONS_LOST = Counter(
    "edgecore_inference_preview_connections_lost", "Times the preview service went away or was not there."
)
PREVIEW_CONNECTED = Gauge("edgecore_inference_preview_connected", "1 while frames can be sent.")
CONNECTED = Gauge("edgecore_inference_scheduler_connected", "1 while the scheduler has welcomed this node.")
