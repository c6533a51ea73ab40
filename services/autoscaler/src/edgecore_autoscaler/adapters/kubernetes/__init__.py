"""The cluster: GPUPools, their children, and the lease. Loaded only where there is one."""
