"""How many nodes the work that is known now needs."""

import math

from edgecore_autoscaler.domain.pool import Load, PoolSpec

RESIDUAL = 0.5
"""Share of a running job still to do, on average: E[S²] / 2E[S]² for jobs of equal length (renewal theory)."""


def wanted(load: Load, spec: PoolSpec) -> int:
    """Nodes that finish the known work within the horizon, and never fewer than running jobs occupy.

        work    = queued seconds + running · RESIDUAL · seconds per job
        wanted  = max(⌈running / slots⌉, ⌈work / (targetUtilisation · horizon · slots)⌉)

    A queue-depth rule as KEDA and the HPA have it, with the queue measured in seconds of work instead of jobs.
    Not clamped to the pool's limits; grows with the queue, never shrinks with it.
    """
    busy = math.ceil(load.running / load.slots)
    work = load.queued_seconds + load.running * RESIDUAL * load.seconds_per_job
    room = spec.target_utilisation * spec.horizon * load.slots
    return max(busy, math.ceil(work / room - 1e-9))


def sentence(load: Load) -> str:
    """The work in words: `queue of 14 jobs (35 s of work) over 2 nodes`."""
    if not load.reported:
        return f"no node yet, and {_jobs(load.queued)} ({load.queued_seconds:.0f} s of work) arrived lately"
    over = f"{load.ready} node{'' if load.ready == 1 else 's'}"
    if load.queued:
        return f"queue of {_jobs(load.queued)} ({load.queued_seconds:.0f} s of work) over {over}"
    if load.running:
        return f"{_jobs(load.running)} running and none waiting, on {over}"
    return f"no work, {over}"


def _jobs(count: int) -> str:
    return f"{count} job{'' if count == 1 else 's'}"
