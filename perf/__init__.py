"""Measure and decide: perf_analyzer sweeps, their statistics and reports, and the project's own benchmarks."""
