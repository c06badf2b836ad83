"""What keeps servers from an unfinished repository: a bar is a config.pbtxt that Triton cannot parse.

As long as it stands in a model's place, no server loads the model.
"""

from __future__ import annotations

import errno
from collections.abc import Collection, Iterable
from typing import Any

from tritonsmith.backends.deploy.store.fetch import Address, for_all
from tritonsmith.generator.repository.names import CONFIG_FILE

# Triton's log then says: Message type "inference.ModelConfig" has no field named "tritonsmith_has_not_...".
UNFINISHED = b"tritonsmith_has_not_finished_to_push_this_model: true\n"
REMOVED = b"tritonsmith_has_removed_this_model: true\n"
_CONFIGS = "configs"  # --model-config-name picks one of them in place of config.pbtxt


def is_bar(path: str) -> bool:
    """Whether a server would read a model's configuration from this path: bars go there."""
    _, _, inner = path.partition("/")
    return inner == CONFIG_FILE or (inner.startswith(f"{_CONFIGS}/") and inner.endswith(".pbtxt"))


def bars_of(paths: Iterable[str]) -> list[str]:
    """Return where bars go to keep every model of these paths from being loaded, by configuration or without."""
    inside = [path for path in paths if "/" in path]
    models = {path.partition("/")[0] for path in inside}
    return sorted({f"{model}/{CONFIG_FILE}" for model in models} | {path for path in inside if is_bar(path)})


def bar(store: Any, place: Address, paths: Collection[str], text: bytes, *, is_new: bool) -> None:
    """Write bars; with `is_new` only where nothing is: another push of the same digest may have come first."""
    for_all(lambda path, _: _put(store, f"{place.path}/{path}", text, is_new=is_new), paths)


def _put(store: Any, path: str, data: bytes, *, is_new: bool) -> None:
    if is_new:
        try:
            store.pipe_file(path, data, mode="create")
        except FileExistsError:
            return
        except OSError as problem:
            # a store without conditional writes; EINVAL is also s3fs' for "it is there" in the words of other stores
            if problem.errno not in (errno.ENOSYS, errno.EINVAL):
                raise
            if store.exists(path):
                return
        else:
            return
    store.pipe_file(path, data)
