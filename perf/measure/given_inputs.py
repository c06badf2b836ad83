"""What a person gives as `--input NAME=VALUE`, as rows for perf_analyzer: read as `infer` reads it, files by folder."""

from __future__ import annotations

from collections.abc import Sequence
from glob import glob
from pathlib import Path

from tritonsmith.backends.client.base import connect
from tritonsmith.backends.client.infer import Call, Target, build_requests, find_target, read_pair
from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.measure.input_data import Row, write_input_data


def expand_inputs(texts: Sequence[str]) -> dict[str, list[str]]:
    """Return the values by input; `@FOLDER` and `@PATTERN` become `@FILE` for each of their files, by name.

    Raises: UsageError for what is no NAME=VALUE, and where no file is meant.
    """
    values: dict[str, list[str]] = {}
    for text in texts:
        name, value = read_pair(text)
        values.setdefault(name, []).extend(_files(value) if value.startswith("@") else [value])
    return values


def write_given_inputs(texts: Sequence[str], model: str, http_url: str, path: Path) -> Path:
    """Write what is given for a served model as perf_analyzer's input-data file, and return its path.

    Raises: UsageError for values that the model does not take; ServerError where the model is not there.
    """
    with connect(http_url, "http") as client:
        rows = given_rows(texts, find_target(client, model))
    return write_input_data(path, rows)


def given_rows(texts: Sequence[str], target: Target) -> list[Row]:
    """Return a row for each value, without the batch dimension; an input with a single one has it in every row.

    Raises: UsageError for inputs that the model does not have, lacks, or cannot take, or of unequal number.
    """
    values = expand_inputs(texts)
    count = max(map(len, values.values()))
    for name, given in values.items():
        if len(given) not in (1, count):
            numbers = ", ".join(f"{len(one)} of '{other}'" for other, one in values.items())
            raise UsageError(
                f"the inputs differ in number: {numbers}", hint=f"give {count} of '{name}', or one for all"
            )
    rows: list[Row] = []
    for index in range(count):
        row = [f"{name}={given[index if len(given) > 1 else 0]}" for name, given in values.items()]
        rows += _rows_of(row, target)
    return rows


def _rows_of(texts: Sequence[str], target: Target) -> list[Row]:
    """Return the rows of one value for each input, of which each may be a batch."""
    [request] = build_requests(Call(target.metadata.name, texts=texts), target)
    arrays = {tensor.name: tensor.array for tensor in request.inputs}
    if not target.is_batched:
        return [arrays]
    counts = {name: len(array) for name, array in arrays.items()}
    if len(set(counts.values())) > 1:
        shown = ", ".join(f"{count} of '{name}'" for name, count in counts.items())
        raise UsageError(f"the inputs have unequal numbers of rows: {shown}", hint="give as many rows of each")
    return [{name: array[index] for name, array in arrays.items()} for index in range(min(counts.values()))]


def _files(value: str) -> list[str]:
    path = Path(value[1:])
    if path.is_file():
        return [value]
    if path.is_dir():
        found = [entry for entry in path.iterdir() if not entry.name.startswith(".")]
    else:
        found = list(map(Path, glob(value[1:])))  # noqa: PTH207 - a pattern may begin at the root, or with ..
    files = [f"@{file}" for file in sorted(found) if file.is_file()]
    if not files:
        raise UsageError(f"no file in '{value[1:]}'", hint="name a file, a folder of files, or a pattern such as *.png")
    return files
