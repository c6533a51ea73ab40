"""Events in, figures out: the consumer's handler, gRPC, and the timers."""
