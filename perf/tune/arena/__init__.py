"""Where candidates are measured: a live server, its journal, and what the simulator learns there."""
