"""Whether the rate limiter can ever schedule every instance."""
