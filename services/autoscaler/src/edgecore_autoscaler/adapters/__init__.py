"""Where autoscaler keeps and sends things."""
