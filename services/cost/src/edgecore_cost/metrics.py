"""What the cost service counts."""

from prometheus_client import Counter, Histogram

posted = Counter("edgecore_cost_posted_micros_total", "Micros of USD on new ledger lines", ["kind"])
reservations = Counter("edgecore_cost_reservations_total", "Reservations by what became of them", ["state"])
relative_error = Histogram(
    "edgecore_cost_prediction_relative_error",
    "Absolute error of predicted seconds over measured seconds, of attempts that went well",
    ["model", "device"],
    buckets=(0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0),
)
