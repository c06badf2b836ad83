"""Talk to a running Triton: over gRPC and HTTP, values in and out, its control endpoints."""
