"""What Prometheus reads. No label names a user, a job or a node: their number has no bound.

Counters and the histogram count what this process committed, so replicas' are summed; a commit that the process
did not survive is missing from them, and from nothing else. Gauges are read from the tables and are the same in
every replica, so of replicas' the largest is taken.
"""

from prometheus_client import Counter, Gauge, Histogram

from edgecore_analytics.adapters.fleet import Fleet
from edgecore_analytics.domain.job import Job
from edgecore_contracts.states import JobState

LATENCY_BUCKETS = (0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)

finished = Counter("edgecore_analytics_jobs_finished_total", "Jobs that ended", ["state", "model"])
latency = Histogram(
    "edgecore_analytics_job_latency_seconds",
    "From acceptance to delivery, of delivered jobs",
    ["model", "backend"],
    buckets=LATENCY_BUCKETS,
)
attempts = Counter("edgecore_analytics_attempts_total", "Attempts that ended", ["outcome", "reason", "backend"])
fallbacks = Counter("edgecore_analytics_fallbacks_total", "Jobs that a second backend was tried for")
cost = Counter("edgecore_analytics_cost_micros_total", "Millionths of a dollar posted", ["kind"])
exhausted = Counter("edgecore_analytics_budgets_exhausted_total", "Times a budget was used up")

open_jobs = Gauge("edgecore_analytics_jobs_open", "Jobs accepted and not over", ["state"])
POOL = ["pool", "backend"]
queued = Gauge("edgecore_analytics_pool_queued_jobs", "Waiting jobs that the pool could take", POOL)
queued_seconds = Gauge("edgecore_analytics_pool_queued_seconds", "What those are predicted to take", POOL)
running = Gauge("edgecore_analytics_pool_running_jobs", "Jobs that the pool's nodes work on", POOL)
capacity = Gauge("edgecore_analytics_pool_capacity_jobs", "Jobs at a time over all ready nodes", POOL)
nodes = Gauge("edgecore_analytics_nodes", "Nodes by their newest state, gone ones for a day", ["pool", "state"])


def count(before: Job, after: Job) -> None:
    """Count what one committed event added to a job, each thing once whatever the order of the events."""
    if after.complete and not before.complete:
        finished.labels(after.state, after.model).inc()
        if after.latency_seconds is not None:
            latency.labels(after.model, after.last_backend).observe(after.latency_seconds)
    if after.fallback and not before.fallback:
        fallbacks.inc()
    for number, attempt in after.attempts.items():
        known = before.attempts.get(number)
        if attempt.outcome is not None and (known is None or known.outcome is None):
            attempts.labels(attempt.outcome, attempt.reason, attempt.backend).inc()
    for key, line in after.costs.items():
        # A correction may be negative; a counter only grows, and the exact sum is the ledger's.
        if key not in before.costs and line.micros > 0:
            cost.labels(key[1]).inc(line.micros)


def show(states: dict[str, int], fleet: Fleet) -> None:
    """Set every gauge, and drop the series of pools and states that are no more."""
    for state in JobState:
        if not state.terminal:
            open_jobs.labels(state).set(states.get(state, 0))
    for gauge in (queued, queued_seconds, running, capacity, nodes):
        gauge.clear()
    for pool in fleet.pools:
        labels = (pool.pool, pool.backend)
        queued.labels(*labels).set(pool.queued)
        queued_seconds.labels(*labels).set(pool.queued_seconds)
        running.labels(*labels).set(pool.running)
        capacity.labels(*labels).set(pool.capacity)
    for (pool_name, state_name), number in fleet.nodes.items():
        nodes.labels(pool_name, state_name).set(number)
