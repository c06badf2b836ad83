from dataclasses import replace

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.backends.checking.formats.flat import as_json as as_findings
from tritonsmith.backends.client.control import ModelState
from tritonsmith.backends.client.counters import ModelCounters
from tritonsmith.backends.running.explain import LIVE_CHECKS, explain
from tritonsmith.backends.running.observe import Activity, Observation
from tritonsmith.backends.running.show import as_json, as_table
from tritonsmith.generator.checks.report import Report

BATCHING = "max_batch_size: 8 dynamic_batching {} instance_group { count: 1 }"
MS = 1_000_000


def activity(
    config: str = BATCHING,
    *,
    requests: int = 1000,
    batch: float = 1,
    queue_ms: float = 0.1,
    compute_ms: float = 5,
    window_s: float = 10.0,
    rows: int = 1,
    **changed: int,
) -> Activity:
    """A model that answered requests in batches of `batch` requests of `rows` rows."""
    parsed = text_format.Parse(config, ModelConfig())
    executions = round(requests / batch)
    counters = ModelCounters(
        requests=requests,
        request_ns=round(requests * (queue_ms + compute_ms) * MS),
        failures=0,
        inferences=requests * rows,
        executions=executions,
        phase_ns={"queue": round(requests * queue_ms * MS), "compute_infer": round(requests * compute_ms * MS)},
        batch_sizes={round(batch * rows): executions},
        busy_ns={round(batch * rows): round(executions * compute_ms * MS)},
        cache_hits=0,
        cache_misses=0,
    )
    instances = sum(max(1, group.count) for group in parsed.instance_group)
    counters = replace(counters, **changed)  # type: ignore[arg-type]
    return Activity("m", parsed, counters, window_s, instances)


def found(*activities: Activity, index: tuple[ModelState, ...] = ()) -> dict[str, str]:
    seen = Observation("127.0.0.1:8001", 10.0, {one.name: one for one in activities}, index)
    return {finding.code: f"{finding.severity.value}: {finding.message}" for finding in explain(seen)}


def test_a_model_that_batches_and_does_not_wait_is_left_alone() -> None:
    assert found(activity(batch=4)) == {}


@pytest.mark.parametrize(
    ("config", "given", "cause"),
    [
        ("max_batch_size: 0", {}, "max_batch_size is 0"),
        ("max_batch_size: 8", {}, "it has no batcher"),
        ("max_batch_size: 8 sequence_batching {}", {}, "at most one request of a sequence"),
        (BATCHING, {"rows": 5}, "requests bring 5.0 rows each"),
        (BATCHING, {}, "0.5 requests were in it on average, and an idle one of its 1 instance takes"),
        (BATCHING, {"window_s": 0.0}, "requests do not wait for one another"),
        (f'{BATCHING} input {{ name: "x" dims: [-1] }}', {"queue_ms": 20}, "whose 'x' differ in shape"),
        (f'{BATCHING} input {{ name: "x" dims: [2] optional: true }}', {"queue_ms": 20}, "without the optional 'x'"),
        (BATCHING, {"queue_ms": 20}, "nothing of the configuration keeps them apart"),
    ],
)
def test_why_a_model_does_not_batch(config: str, given: dict[str, float], cause: str) -> None:
    assert cause in found(activity(config, **given))["TS961"]  # type: ignore[arg-type]


def test_batches_of_one_matter_where_requests_wait() -> None:
    assert found(activity("max_batch_size: 8"))["TS961"].startswith("note")
    assert found(activity("max_batch_size: 8", queue_ms=20))["TS961"].startswith("warning")


@pytest.mark.parametrize(
    ("config", "given", "cause"),
    [
        (BATCHING, {"requests": 1900, "batch": 1}, "its 1 instance is busy 95% of the time"),
        ("max_batch_size: 8 dynamic_batching { max_queue_delay_microseconds: 20000 } instance_group { count: 1 }", {},
         "that is max_queue_delay_microseconds (20000)"),
        ("max_batch_size: 8 sequence_batching {} instance_group { count: 1 }", {}, "sequences wait for a free slot"),
        (BATCHING, {}, "busy 50% of the time, so requests come in bursts"),
        (BATCHING, {"window_s": 0.0}, "since it was loaded"),
    ],
)  # fmt: skip
def test_why_requests_wait(config: str, given: dict[str, float], cause: str) -> None:
    assert cause in found(activity(config, queue_ms=20, **given))["TS962"]  # type: ignore[arg-type]


def test_idle_instances_are_counted_from_executions() -> None:
    four = BATCHING.replace("count: 1", "count: 4")
    assert found(activity(four, batch=4))["TS963"] == "note: 0.12 of 4 instances were computing on average"
    assert "TS963" not in found(activity(four, requests=7000))


def test_copying_and_failures_are_told() -> None:
    copied = activity(batch=4)
    phases = {**copied.counters.phase_ns, "compute_input": 4_000 * MS}
    copied = replace(copied, counters=replace(copied.counters, phase_ns=phases))
    assert found(copied) == {"TS964": "note: copying inputs and outputs takes 4 ms, the model itself 5 ms"}
    assert found(activity(batch=4, failures=250))["TS965"] == "warning: 250 of 1250 requests failed (20.0%)"


def test_an_ensemble_is_told_step_by_step() -> None:
    config = 'platform: "ensemble" ensemble_scheduling { step { model_name: "a" } step { model_name: "b" } }'
    a, b = replace(activity(batch=4), name="a"), replace(activity(batch=4, compute_ms=9), name="b")
    told = found(replace(activity(config, compute_ms=14), name="e"), a, b)
    assert told == {
        "TS966": "note: a request takes 14.1 ms: a waits 0.1 ms and computes 5 ms, b waits 0.1 ms and computes 9 ms"
    }


def test_a_cache_that_is_never_asked_is_told() -> None:
    cached = f"{BATCHING} response_cache {{ enable: true }}"
    assert "none of 1000 requests was looked up" in found(activity(cached, batch=4))["TS967"]
    assert "answered 1 of 1000" in found(activity(cached, batch=4, cache_hits=1, cache_misses=999))["TS967"]
    assert found(activity(cached, batch=4, cache_hits=500, cache_misses=500)) == {}


def test_models_that_are_not_served_or_not_used_are_told() -> None:
    index = (ModelState("x", "1", "UNAVAILABLE", "boom"), ModelState("y", "1", "UNAVAILABLE", "unloaded"))
    assert found(index=index) == {"TS960": "error: it is not served: boom"}
    assert found(activity(requests=0)) == {"TS968": "note: no request since it was loaded"}


def test_json_has_the_titles_of_what_is_told_of_a_running_server() -> None:
    index = (ModelState("x", "1", "UNAVAILABLE", "boom"),)
    told = as_findings(Report(tuple(explain(Observation("u", 10.0, {"m": activity(requests=0)}, index)))))
    assert [(one["code"], one["title"], bool(one["source"])) for one in told] == [
        ("TS960", "a model that was to be loaded is served", True),
        ("TS968", "a loaded model is used", False),
    ]


def test_few_requests_say_nothing() -> None:
    assert found(activity("max_batch_size: 8", requests=10, queue_ms=100)) == {}


def test_what_was_seen_is_shown_in_a_table_and_as_data() -> None:
    seen = Observation("127.0.0.1:8001", 10.0, {"m": activity(batch=4), "n": activity(window_s=0.0)}, ())
    watched, idle = as_table(seen).splitlines()[-2:]
    assert watched.split() == ["m", "100.0", "1.00", "4.00", "0.100", "5.000", "0.12", "of", "1"]
    assert idle.split()[1] == "0*"
    assert as_json(seen)[0]["executions_by_batch_size"] == {"4": 250}
    assert as_json(seen)[1]["requests_per_s"] is None


def test_every_rule_has_a_title_and_a_reason() -> None:
    assert all(check.title and check.reason for check in LIVE_CHECKS.values())
