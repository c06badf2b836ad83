"""What a running server says of itself: configurations and counters, explained."""
