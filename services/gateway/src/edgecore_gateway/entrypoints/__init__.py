"""What calls the gateway: HTTP requests, events, time."""
