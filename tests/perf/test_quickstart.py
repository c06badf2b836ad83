from pathlib import Path

from tritonsmith.perf.cli_sweep import SweepOptions, read_loads
from tritonsmith.perf.commands import sweep
from tritonsmith.perf.document import SweepPlan
from tritonsmith.perf.measure.given_inputs import expand_inputs
from tritonsmith.perf.quickstart import CONCURRENCIES, IMAGES, MODEL, OUTPUT, REPEATS, sweep_command


def test_the_command_that_quickstart_shows_asks_for_what_it_measures() -> None:
    program, verb, *words = sweep_command(OUTPUT)
    given = sweep.make_context("sweep", words).params
    given.pop("is_json")
    options = SweepOptions(**given)
    plan = SweepPlan(MODEL, read_loads(options))
    assert (program, verb, options.model) == ("tritonsmith", "sweep", MODEL)
    assert [load.value for load in plan.loads] == list(CONCURRENCIES)
    assert (options.repeats, options.window_ms) == (REPEATS, plan.window_ms)
    assert (options.protocol, options.seed) == (plan.protocol, plan.seed)
    assert (options.repository, options.output) == (OUTPUT / "model_repository", OUTPUT / "sweep")
    assert [Path(file[1:]).name for file in expand_inputs(options.inputs)["image"]] == sorted(
        path.name for path in IMAGES.iterdir()
    )
