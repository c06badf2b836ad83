"""The private view of a model repository that the embedded server loads from; the user's files stay untouched."""

from __future__ import annotations

import os
import py_compile
import shutil
import stat
from pathlib import Path

from tritonsmith.backends.toolchain.find import Toolchain
from tritonsmith.generator import console
from tritonsmith.generator.errors import RepositoryError
from tritonsmith.generator.files import printable
from tritonsmith.generator.repository.walk import BYTECODE, walk

SHIPPED_BACKENDS = Path(__file__).parents[1] / "python_based"


def make_view(repository: Path, view: Path, *, with_faults: bool = False) -> list[str]:
    """Mirror a repository with links and return the names of its models; `with_faults` what is broken too, as broken.

    Bytecode is compiled beforehand: a stub that writes `1/__pycache__` at the first load makes Triton believe that
    the version changed, and a later load through an ensemble then drops overrides without a word.

    Raises: RepositoryError where there is no repository, or no model in it.
    """
    folders = model_folders(repository)
    view.mkdir()
    for folder in folders:
        mirror_folder(folder, view / folder.name, with_faults=with_faults)
    return [folder.name for folder in folders]


def model_folders(repository: Path) -> list[Path]:
    """Return the folders of a repository's models but those whose names are not UTF-8: no request can name them.

    Raises: RepositoryError where there is no repository, or no model in it.
    """
    if not repository.is_dir():
        raise RepositoryError(
            f"{repository} is not a folder", hint="run `tritonsmith build`, or name a model repository"
        )
    seen = sorted(entry for entry in repository.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not seen:
        raise RepositoryError(
            f"{repository} holds no model", hint="a model is a folder <name>/ with config.pbtxt and 1/<model file>"
        )
    return [folder for folder in seen if printable(folder.name) == folder.name]


def model_paths(repository: Path) -> tuple[list[str], list[str], dict[str, str]]:
    """Return the paths of all models' folders and of their files, and of what cannot be read the fault.

    Relative to the repository; bytecode is left out.

    Raises: RepositoryError, as `model_folders`.
    """
    folders: list[str] = []
    files: list[str] = []
    faults: dict[str, str] = {}
    for model in model_folders(repository):
        folders.append(model.name)
        for entry in walk(model, {BYTECODE}):
            path = f"{model.name}/{entry.path}".rstrip("/")
            if entry.fault:
                faults[path] = entry.fault
            else:
                (folders if entry.is_folder else files).append(path)
    return folders, files, faults


def mirror_folder(source: Path, target: Path, *, with_faults: bool = False) -> None:
    """Mirror one folder: folders are made, files linked, `__pycache__` left out and made anew for this Python.

    What cannot be read, such as a link to nothing or in a circle, is mirrored where asked for and safe, else left out
    and said aloud.
    """
    target.mkdir()
    for entry in walk(source, {BYTECODE}):
        if entry.fault:
            if not (with_faults and mirror_fault(source / entry.path, target / entry.path)):
                console.say(f"{source / entry.path} is {entry.fault}: left out")
        elif entry.is_folder:
            (target / entry.path).mkdir()
        else:
            link_file(source / entry.path, target / entry.path)
            if entry.path.endswith(".py"):
                _compile(target / entry.path)


def mirror_fault(source: Path, target: Path) -> bool:
    """Mirror what cannot be read so that a server fares with it as with the original; return whether that is safe.

    A pipe is made anew: who reads the user's takes away what others wait for. A device can be endless, and so can the
    ways through links in circles, each a line of the server's log.
    """
    try:
        mode = source.stat().st_mode
    except OSError:  # a link to nothing or to itself
        mode = 0
    if stat.S_ISFIFO(mode):
        os.mkfifo(target)
    elif stat.S_ISCHR(mode) or stat.S_ISBLK(mode) or (stat.S_ISDIR(mode) and source.is_symlink()):
        return False
    else:
        if target.is_dir():  # made before it could not be entered
            target.rmdir()
        target.symlink_to(source.absolute())
    return True


def link_file(source: Path, target: Path) -> None:
    """Link a file: hard where the file system allows, else symbolic."""
    real = source.resolve()
    try:
        os.link(real, target)
    except OSError:  # another file system, or somebody else's file under protected_hardlinks
        target.symlink_to(real)


def make_backends(toolchain: Toolchain, folder: Path) -> list[str]:
    """Assemble the backend directory of one server start, with ours in it, and return the names of its backends."""
    link_python_backend(toolchain, folder)
    for backend in sorted(SHIPPED_BACKENDS.glob("*/model.py")):
        link_backend(backend.parent, folder / backend.parent.name)
    return sorted(entry.name for entry in folder.iterdir())


def link_python_backend(toolchain: Toolchain, folder: Path) -> None:
    """Put Triton's Python backend into a backend directory.

    `libtriton_python.so` is a real file there: through a symbolic link every Python-based backend fails with
    "escapes backend directory". The stub and its utilities may be symbolic links.
    """
    python = folder / "python"
    python.mkdir(parents=True)
    library = toolchain.python_backend / "libtriton_python.so"
    try:
        os.link(library.resolve(), python / library.name)
    except OSError:
        shutil.copyfile(library, python / library.name)
    (python / "triton_python_backend_stub").symlink_to(toolchain.python_stub)
    utilities = "triton_python_backend_utils.py"
    (python / utilities).symlink_to(toolchain.python_backend / utilities)


def link_backend(source: Path, target: Path) -> None:
    """Link a Python-based backend into a backend directory; there its own folder is no package."""
    _link_backend(source, target, left_out=("__pycache__", "__init__.py"))


def _link_backend(source: Path, target: Path, left_out: tuple[str, ...]) -> None:
    """Link each file of a Python-based backend into a real folder: its bytecode is then written there, not to us.

    Folders in it, such as `llm`, stay packages.
    """
    target.mkdir()
    for entry in source.iterdir():
        if entry.name in left_out:
            continue
        if entry.is_dir():
            _link_backend(entry, target / entry.name, left_out=("__pycache__",))
        else:
            (target / entry.name).symlink_to(entry)
    for module in target.glob("*.py"):
        _compile(module)


def _compile(module: Path) -> None:
    # what does not compile is reported by the server when it loads the model
    py_compile.compile(str(module), quiet=2)
