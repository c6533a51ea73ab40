"""The scheduler owns a job's life: the queue, the leases, the nodes, and every transition."""
