"""How long a step of a replica takes, and what follows for its throughput."""
