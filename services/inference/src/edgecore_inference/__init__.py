"""The inference node: an agent that speaks with the scheduler, and an engine process that holds the model."""

import os

# The loop forks its children, and gRPC's handlers run in a child before it becomes another program: one in five
# dies there, of SIGSEGV or SIGABRT. gRPC reads this when it is first imported, so it has to be said here.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
