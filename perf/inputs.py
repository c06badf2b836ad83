"""What is sent to a model: values that are given, a file, prompts, or rows that are made up."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tritonsmith.backends.client.made_up import made_up_rows
from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.measure.given_inputs import expand_inputs, write_given_inputs
from tritonsmith.perf.measure.input_data import require_input_data, write_input_data
from tritonsmith.perf.prompting import PromptWishes, write_prompts
from tritonsmith.perf.target import Target


@dataclass(frozen=True)
class Inputs:
    """What options say of it: the texts of --input, the file of --input-data, and what is asked of prompts.

    Where nothing is said a model of text gets prompts, any other made-up rows, both by the seed of `prompts`.
    """

    given: tuple[str, ...] = ()
    file: Path | None = None
    prompts: PromptWishes = field(default_factory=PromptWishes)


def require_inputs(inputs: Inputs) -> None:
    """Refuse what needs no server to be refused.

    Raises: UsageError.
    """
    names = {"--input": inputs.given, "--input-data": inputs.file, "--prompts": inputs.prompts.file}
    named = [name for name, value in names.items() if value]
    if len(named) > 1:
        raise UsageError(f"{' and '.join(named)} exclude each other", hint="one of them says what is sent")
    if inputs.prompts and (inputs.given or inputs.file):
        hint = f"leave out {named[0]}, or the options on prompts"
        raise UsageError(f"{named[0]} leaves no room for prompts", hint=hint)
    if inputs.prompts.file and inputs.prompts.prompt_tokens:
        raise UsageError("--prompts and --prompt-tokens exclude each other", hint="the file's prompts are as they are")
    expand_inputs(inputs.given)
    if inputs.file:
        require_input_data(inputs.file)


def write_asked(inputs: Inputs, model: str, target: Target, path: Path) -> tuple[Path | None, str]:
    """Write what is asked for as perf_analyzer's input data; return the file, and in words what is sent.

    Both are empty where all is to be made up.

    Raises: UsageError for what the model does not take; ServerError.
    """
    if inputs.given:
        return write_given_inputs(inputs.given, model, target.http_url, path), " ".join(inputs.given)
    if inputs.file:
        return inputs.file, inputs.file.name
    return write_prompts(inputs.prompts, model, target, path)


def write_inputs(inputs: Inputs, model: str, target: Target, path: Path) -> tuple[Path, str]:
    """Write what is sent, made up where nothing is asked for; return the file, and in words what was asked for.

    Raises: as `write_asked`.
    """
    asked, words = write_asked(inputs, model, target, path.absolute())
    if asked:
        return asked.absolute(), words
    rows = made_up_rows(target.control.metadata(model), target.control.config(model), inputs.prompts.seed)
    return write_input_data(path.absolute(), rows), ""
