"""From a fleet's file to what is printed."""

import json
from pathlib import Path

import pytest

from tritonsmith.generator.errors import AnswerIsNo, SpecError, UsageError
from tritonsmith.perf.plan.packing import Tenant
from tritonsmith.perf.plan.packing.cli import PackOptions, answer
from tritonsmith.perf.plan.packing.fleet_file import read_fleet

ROOT = Path(__file__).parents[4]
DIGITS = ROOT / "ensembles" / "image_classification" / "demo" / "digits.onnx"
LLAMA = ROOT / "tests" / "data" / "plan" / "llama-3.1-8b.json"
FLEET = """\
gpus: {l40s: 4}
disk: 2GB/s
models:
  detector: {memory: 6GiB, rate: 40, latency: 12ms, varies: 20%, slo: p99=120ms, replicas: 2}
  embedder: {memory: 3GiB, rate: 100, latency: 2ms, slo: p99=50ms}
  ranker: {memory: 20GiB, rate: 5, latency: 30ms}
  chat: {memory: 30GiB, alone: true}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "fleet.yaml"
    path.write_text(text)
    return path


def test_a_fleet_is_read_with_its_units(tmp_path: Path) -> None:
    fleet = read_fleet(written(tmp_path, FLEET))
    [kind] = fleet.kinds
    assert (kind.name, kind.count) == ("L40S", 4)
    assert 43 << 30 < kind.memory_bytes < (46068 << 20) - (1 << 30)
    assert kind.source.startswith("44.99 - ")
    detector = fleet.tenants[0]
    assert (detector.memory_bytes.value, detector.rate_per_s, detector.replicas) == (6 << 30, 40, 2)
    assert detector.variation == 0.2
    assert (detector.service_s, detector.limit_s, detector.share) == ({"": 0.012}, 0.12, 0.99)
    assert fleet.disk_bytes_per_s == 2e9


def test_the_table_ends_with_the_answer(tmp_path: Path) -> None:
    lines = answer(PackOptions(written(tmp_path, FLEET)), is_json=False).splitlines()
    assert any(line.startswith("4 models, 5 replicas on 3 of 4 GPUs: fewer would not do") for line in lines)
    assert lines[-1].startswith("times are bounds")


def test_what_is_proven_is_proven_of_the_same_models_on_demand(tmp_path: Path) -> None:
    rare = "{memory: 24GiB, rate: 0.001, latency: 1s, slo: p95=60s}"
    path = written(tmp_path, f"gpus: {{L40S: 1}}\ndisk: 2GB/s\nmodels: {{a: {rare}, b: {rare}}}\n")
    text = answer(PackOptions(path), is_json=False)
    assert "2 models, 2 replicas on 1 of 1 GPUs: fewer would not do with these on demand" in text
    assert "loads in" in text


def test_the_document_has_what_the_table_has(tmp_path: Path) -> None:
    document = json.loads(answer(PackOptions(written(tmp_path, FLEET)), is_json=True))
    assert document["is_proven"]
    assert document["models"]["detector"]["replicas"] == 2
    assert len(document["models"]["detector"]["instance_group"][0]["gpus"]) == 2
    assert sum(len(card["models"]) for card in document["cards"]) == 5
    assert all(card["used_bytes"] <= card["memory_bytes"] for card in document["cards"])


def test_a_fleet_that_does_not_fit_is_a_no(tmp_path: Path) -> None:
    path = written(tmp_path, "gpus: {L4: 1}\nmodels: {a: {memory: 20GiB}, b: {memory: 20GiB}}\n")
    with pytest.raises(AnswerIsNo, match="1 L4 do not hold everything"):
        answer(PackOptions(path), is_json=False)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("gpus: {X9: 1}\nmodels: {a: {memory: 1GiB}}", "no GPU 'X9'"),
        ("gpus: {L40S: 1}\nmodels: {a: {memory: 1}}", "number above 0 with a unit"),
        ("gpus: {L40S: 1}\nmodels: {a: {memory: 1GiB, ratee: 3}}", "Did you mean 'rate'"),
        ("gpus: {L40S: 1}\nmodels: {a: {memory: 1GiB, rate: 3}}", "a rate needs a latency"),
        ("gpus: {L40S: 1}\nmodels: {a: {memory: 1GiB, kv_tokens: 5}}", "whose `file` is given"),
        ("gpus: {L40S: 1}\nmodels: {a: {}}", "give one of memory and file"),
        ("gpus: {L40S: 1}\nmodels: {a: {memory: 1GiB, rate: 1, latency: {H100: 1ms}}}", "latency on 'H100'"),
        ("gpus: {L40S: 1}\nmodels: {a: {memory: 1GiB, rate: 1, latency: 1ms, slo: p42=1ms}}", "'p42' is nothing"),
        ("gpus: {L40S: 1}\nreserve: 60GiB\nmodels: {a: {memory: 1GiB}}", "nothing is left for models"),
        ("models: {a: {memory: 1GiB}}", "gpus"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, wrong: str, words: str) -> None:
    with pytest.raises(SpecError) as told:
        read_fleet(written(tmp_path, wrong))
    assert words in str(told.value)
    assert "fleet.yaml:" in str(told.value)


def test_slices_of_a_gpu_are_packed_by_their_own_memory(tmp_path: Path) -> None:
    path = written(tmp_path, "gpus: {h100-sxm-80gb/mig:3g.40gb: 2}\nmodels: {a: {memory: 30GiB}, b: {memory: 20GiB}}")
    [kind] = read_fleet(path).kinds
    assert kind.name == "H100-SXM-80GB/mig:3g.40gb"
    assert 35 << 30 < kind.memory_bytes < 40 << 30
    assert "2 replicas on 2 of 2 GPUs" in answer(PackOptions(path), is_json=False)


def test_a_file_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file"):
        read_fleet(tmp_path / "none.yaml")


def file_needs(folder: Path, model: str) -> Tenant:
    return read_fleet(written(folder, f"gpus: {{H100-SXM-80GB: 2}}\nmodels: {{m: {{file: {model}}}}}")).tenants[0]


def test_an_onnx_file_says_its_memory_and_more_rows_take_more(tmp_path: Path) -> None:
    one, many = (file_needs(tmp_path, f"{DIGITS}, max_batch_size: {rows}") for rows in (1, 64))
    assert 0 < one.memory_bytes.value < many.memory_bytes.value
    assert one.load_bytes == DIGITS.stat().st_size
    assert "weights" in one.memory_bytes.source
    assert not one.is_alone


def test_an_engine_shares_with_nobody_unless_its_cache_is_bounded(tmp_path: Path) -> None:
    rest, bounded = (file_needs(tmp_path, f"{LLAMA}{tokens}") for tokens in ("", ", kv_tokens: 90000"))
    assert rest.is_alone and not bounded.is_alone
    more = bounded.memory_bytes.value - rest.memory_bytes.value
    assert more == pytest.approx(90_000 * 131_072 / 0.9)  # B a token in bf16; a tenth of what is free is left alone
    assert bounded.note == "m: set max_tokens_in_paged_kv_cache: 90000"


def test_a_model_that_is_not_there_or_keeps_no_cache_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"models\.m: there is no"):
        file_needs(tmp_path, "none.onnx")
    with pytest.raises(UsageError, match="keeps no KV cache"):
        file_needs(tmp_path, f"{DIGITS}, kv_tokens: 100")
