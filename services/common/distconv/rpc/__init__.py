"""gRPC for every process: servers, channels, errors on the wire, who asks, and conversions."""
