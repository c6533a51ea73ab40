"""What calls the preview service: gRPC."""
