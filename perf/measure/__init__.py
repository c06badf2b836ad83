"""One measurement: run perf_analyzer on one load, read what it and the server say."""
