"""Write an engine folder with model.onnx in it, so that loading need not write the graph again."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from .errors import EngineError
from .graph import Precision
from .llama import read_llama
from .model_file import graph_of, save_model
from .safetensors import INDEX


def export_engine(folder: Path, target: Path, precision: Precision) -> Path:
    """Turn a Hugging Face folder into an engine folder: model.onnx, and the json files as they are.

    The target appears by rename, whole or not at all.

    Raises: EngineError where the folder is no Llama that the CPU engine runs, or the target exists.
    """
    llama = read_llama(folder)
    if target.exists():
        raise EngineError(f"{target} exists: remove it, or name another folder")
    graph = graph_of(folder, llama, precision, llama.positions)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch:
        stage = Path(scratch) / target.name
        stage.mkdir()
        save_model(graph, llama, llama.positions, stage)
        for path in sorted(folder.iterdir()):
            if path.suffix in (".json", ".jinja", ".model") and path.is_file() and path.name != INDEX:
                shutil.copyfile(path, stage / path.name)
        stage.rename(target)
    return target
