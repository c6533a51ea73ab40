"""Who calls autoscaler."""
