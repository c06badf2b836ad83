"""What the GPUs' energy counters say."""

from tritonsmith.perf.energy import joules_between, parse_joules, read_joules

METRICS = """# HELP nv_energy_consumption GPU energy consumption in joules since the Triton Server started
# TYPE nv_energy_consumption counter
nv_energy_consumption{gpu_uuid="GPU-a"} 1021.500000
nv_energy_consumption{gpu_uuid="GPU-b"} 3.2e3
nv_gpu_power_usage{gpu_uuid="GPU-a"} 70.1
"""


def test_every_gpu_s_counter_is_read() -> None:
    assert parse_joules(METRICS) == {"GPU-a": 1021.5, "GPU-b": 3200.0}
    assert parse_joules("nv_cpu_utilization 1.0") == {}


def test_the_gpus_energies_are_added_up() -> None:
    assert joules_between({"a": 1.0, "b": 5.0}, {"a": 2.0, "b": 7.0}) == 3.0


def test_counters_that_stand_still_or_change_are_no_zero() -> None:
    assert joules_between({}, {}) is None
    assert joules_between({"a": 1.0}, {"a": 1.0}) is None
    assert joules_between({"a": 1.0}, {"b": 2.0}) is None


def test_where_nobody_answers_nothing_is_told() -> None:
    assert read_joules("") == {}
    assert read_joules("127.0.0.1:1") == {}
