from pathlib import Path

from tritonsmith.perf.commands import sweep
from tritonsmith.perf.document import SweepPlan
from tritonsmith.perf.measure.given_inputs import expand_inputs
from tritonsmith.perf.quickstart import digits, text
from tritonsmith.perf.sweep_options import SweepOptions, read_inputs, read_loads

OUTPUT = Path("build/quickstart")


def options_of(command: list[str]) -> SweepOptions:
    program, verb, *words = command
    assert (program, verb) == ("tritonsmith", "sweep")
    given = sweep.make_context("sweep", words).params
    given.pop("is_json")
    return SweepOptions(**given)


def test_the_command_that_is_shown_for_the_digits_asks_for_what_is_measured() -> None:
    options = options_of(digits.sweep_command(OUTPUT))
    plan = SweepPlan(digits.MODEL, read_loads(options))
    assert options.model == digits.MODEL
    assert [load.value for load in plan.loads] == list(digits.CONCURRENCIES)
    assert (options.repeats, options.window_ms) == (digits.REPEATS, plan.window_ms)
    assert (options.protocol, options.seed) == (plan.protocol, plan.seed)
    assert (options.repository, options.output) == (OUTPUT / "model_repository", OUTPUT / "sweep")
    assert [Path(file[1:]).name for file in expand_inputs(options.inputs)["image"]] == sorted(
        path.name for path in digits.IMAGES.iterdir()
    )


def test_the_command_that_is_shown_for_the_text_asks_for_what_is_measured() -> None:
    options = options_of(text.sweep_command(OUTPUT))
    plan = SweepPlan(text.BLS, read_loads(options))
    assert (options.model, options.repeats) == (text.BLS, text.REPEATS)
    assert [load.value for load in plan.loads] == list(text.CONCURRENCIES)
    assert (options.window_ms, options.protocol, options.seed) == (plan.window_ms, plan.protocol, plan.seed)
    assert (options.repository, options.output) == (OUTPUT / "model_repository", OUTPUT / "sweep")
    assert read_inputs(options).prompts == text.WISHES
