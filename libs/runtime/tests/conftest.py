"""Parts of the runtime's own: what its tests leave in the log is nonsense to the services'."""

from edgecore_runtime.testing import own_parts

embedded = own_parts("runtime-parts")
