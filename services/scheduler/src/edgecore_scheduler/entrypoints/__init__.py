"""Who calls the scheduler: Kafka, gRPC, and time."""
