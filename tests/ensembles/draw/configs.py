"""Configurations of small models and ensembles, as text."""

from collections.abc import Mapping, Sequence

Maps = tuple[str, Mapping[str, str], Mapping[str, str]]
MODEL = 'backend: "python" max_batch_size: 8'


def model(inputs: Sequence[str] = ("x",), outputs: Sequence[str] = ("y",), fields: str = MODEL) -> str:
    """Return a configuration whose tensors are FP32 [4]."""
    tensors = [*(("input", name) for name in inputs), *(("output", name) for name in outputs)]
    return fields + "".join(f' {kind} {{ name: "{name}" data_type: TYPE_FP32 dims: 4 }}' for kind, name in tensors)


def ensemble(inputs: Sequence[str], outputs: Sequence[str], *steps: Maps) -> str:
    """Return an ensemble's configuration; a step is (model, input map, output map), on a line of its own."""
    text = model(inputs, outputs, 'platform: "ensemble" max_batch_size: 8') + "\nensemble_scheduling {\n"
    for name, reads, writes in steps:
        maps = [*(("input_map", pair) for pair in reads.items()), *(("output_map", pair) for pair in writes.items())]
        entries = " ".join(f'{kind} {{ key: "{key}" value: "{value}" }}' for kind, (key, value) in maps)
        text += f'  step {{ model_name: "{name}" model_version: -1 {entries} }}\n'
    return text + "}\n"


def chain(*names: str) -> str:
    """Return an ensemble that runs models one after the other, its tensors t0, t1, ..."""
    steps = [(name, {"x": f"t{index}"}, {"y": f"t{index + 1}"}) for index, name in enumerate(names)]
    return ensemble(["t0"], [f"t{len(names)}"], *steps)
