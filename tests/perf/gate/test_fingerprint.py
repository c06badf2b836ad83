from dataclasses import replace

import pytest

from tritonsmith.generator.errors import UnstableError
from tritonsmith.perf.gate.fingerprint import Fingerprint, differences, fingerprint_of, require_same
from tritonsmith.perf.measure.machine import Environment

MACHINE = Environment("Some CPU", 2, 8 << 30, "6.1", "2.36", "3.11.7", "0.1.0", "2.51.0", "2.51.0")
HERE = fingerprint_of(MACHINE)


def test_the_same_machine_is_the_same() -> None:
    assert differences(HERE, fingerprint_of(replace(MACHINE, tritonsmith="0.2.0"))) == ()
    require_same(HERE, fingerprint_of(replace(MACHINE, memory_bytes=MACHINE.memory_bytes - 4096)), where="gate.json")


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (replace(HERE, cores=8), "cores: 8 there, 2 here"),
        (replace(HERE, server="2.52.0"), "server: 2.52.0 there, 2.51.0 here"),
        (replace(HERE, gpus=("H200", "H200")), "gpus: H200, H200 there, none here"),
        (replace(HERE, governor="powersave"), "governor: powersave there, none here"),
        (replace(HERE, cpu_quota=1.5), "cpu quota: 1.5 there, 0 here"),
    ],
)
def test_a_baseline_of_another_machine_is_refused_by_name(other: Fingerprint, said: str) -> None:
    with pytest.raises(UnstableError, match=said) as problem:
        require_same(other, HERE, where="gate.json")
    assert problem.value.where == "gate.json"
