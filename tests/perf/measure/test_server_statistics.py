from typing import Any

from tritonsmith.backends.client.counters import ModelCounters, parse_counters
from tritonsmith.perf.measure.measurement import CacheUse
from tritonsmith.perf.measure.server_statistics import caches_between, mean_request_us, step_between


def entry(requests: int, batches: dict[int, int], version: str = "1", **ns: int) -> dict[str, Any]:
    """One version of /v2/models/clf/stats as tritonserver 2.51 writes it."""
    phases = ("queue", "compute_input", "compute_infer", "compute_output")
    return {
        "name": "clf",
        "version": version,
        "inference_count": sum(size * count for size, count in batches.items()),
        "execution_count": sum(batches.values()),
        "inference_stats": {
            "success": {"count": requests, "ns": ns.get("success", 0)},
            "fail": {"count": 0, "ns": 0},
            **{phase: {"count": requests, "ns": ns.get(phase, 0)} for phase in phases},
        },
        "response_stats": {},
        "batch_stats": [
            {"batch_size": size, "compute_infer": {"count": count, "ns": 1}} for size, count in batches.items()
        ],
    }


BEFORE = {"model_stats": [entry(10, {1: 10}, success=50_000_000, queue=1_000_000, compute_infer=20_000_000)]}
AFTER = {
    "model_stats": [entry(30, {1: 12, 4: 3, 6: 1}, success=250_000_000, queue=5_000_000, compute_infer=80_000_000)]
}


def test_times_are_differences_per_request() -> None:
    step = step_between("clf", parse_counters(BEFORE, "clf"), parse_counters(AFTER, "clf"))
    assert (step.requests, step.queue_us, step.compute_infer_us) == (20, 200.0, 3000.0)
    assert mean_request_us(parse_counters(BEFORE, "clf"), parse_counters(AFTER, "clf")) == 10_000.0


def test_batch_sizes_are_differences_too() -> None:
    step = step_between("clf", parse_counters(BEFORE, "clf"), parse_counters(AFTER, "clf"))
    assert step.batch_sizes == {1: 2, 4: 3, 6: 1}
    assert step.mean_batch_size == (2 + 12 + 6) / 6
    assert step.executions == 6


def test_versions_are_added_up() -> None:
    counters = parse_counters({"model_stats": [entry(3, {1: 3}), entry(4, {2: 2}, version="2")]}, "clf")
    assert (counters.requests, counters.executions, counters.batch_sizes) == (7, 5, {1: 3, 2: 2})


def test_numbers_may_be_strings_and_missing_as_in_protobufs_json() -> None:
    versions = [{"name": "clf", "execution_count": "5", "inference_stats": {"success": {"count": "7", "ns": "14000"}}}]
    counters = parse_counters({"model_stats": versions}, "clf")
    assert (counters.requests, counters.request_ns, counters.executions, counters.failures) == (7, 14000, 5, 0)


def test_cache_hits_and_misses_are_differences_for_each_model_that_was_looked_up() -> None:
    def counters(hits: int, misses: int) -> ModelCounters:
        caching = entry(hits + misses, {1: misses})
        caching["inference_stats"] |= {"cache_hit": {"count": hits, "ns": 1}, "cache_miss": {"count": misses, "ns": 1}}
        return parse_counters({"model_stats": [caching]}, "clf")

    plain = parse_counters(BEFORE, "clf")
    before, after = {"clf": counters(10, 5), "pre": plain}, {"clf": counters(102, 13), "pre": plain}
    assert caches_between(before, after) == (CacheUse("clf", 92, 8),)
    assert caches_between(before, after)[0].hit_share == 0.92


def test_an_idle_model_has_no_times() -> None:
    idle = parse_counters(BEFORE, "clf")
    step = step_between("clf", idle, idle)
    assert (step.requests, step.total_us, step.mean_batch_size, step.batch_sizes) == (0, 0.0, 0.0, {})
