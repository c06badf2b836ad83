"""NVIDIA's perf_analyzer 2.51.0, taken out of the wheel of tritonclient 2.51.0 into our tool folder."""

from __future__ import annotations

import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

from tritonsmith.generator.errors import ToolMissingError
from tritonsmith.generator.process import run

VERSION = "2.51.0"  # the newest that runs with glibc 2.35: 2.52 and later ask for 2.38
WHEEL = f"tritonclient-{VERSION}-py3-none-manylinux1_x86_64.whl"
WHEEL_SHA256 = "c485bb0123bdf310f90bc8b03d3489b28df2ffed55b30c7eee0b795b48113d52"
MEMBER = f"tritonclient-{VERSION}.data/data/bin/perf_analyzer"

# What the binary asks for -> how the same library is called in nvidia_pytriton.libs (auditwheel mangled the names).
LIBRARIES = {
    "libb64.so.0d": "libb64-*.so.0d",
    "libcudart.so.12": "libcudart-*.so.12*",
    "libssl.so.3": "libssl-*.so.3",
    "libcrypto.so.3": "libcrypto-*.so.3",
}


def home(tool_folder: Path) -> Path:
    """Return the folder of the installed tool: the binary and, in `lib`, its libraries."""
    return tool_folder / f"perf_analyzer-{VERSION}"


def find_perf_analyzer(tool_folder: Path) -> Path | None:
    """Return the installed binary, None where `doctor --install` has not run."""
    binary = home(tool_folder) / "perf_analyzer"
    return binary if binary.exists() else None


def library_folder(tool_folder: Path) -> Path:
    """Return the folder with the libraries that perf_analyzer needs, under the names it knows."""
    return home(tool_folder) / "lib"


def install_perf_analyzer(tool_folder: Path, wheel_libraries: Path) -> Path:
    """Download, verify and unpack perf_analyzer; at once where it is there already. Returns the binary.

    `wheel_libraries` is nvidia-pytriton's library folder. The installation appears by one rename.

    Raises: ToolMissingError where pip cannot download it.
    """
    if found := find_perf_analyzer(tool_folder):
        return found
    tool_folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=tool_folder, prefix="install-") as scratch:
        stage = Path(scratch, "stage")
        (stage / "lib").mkdir(parents=True)
        _take_binary(_download_wheel(Path(scratch)), stage / "perf_analyzer")
        _copy_libraries(wheel_libraries, stage / "lib")
        stage.chmod(0o755)
        _appear(stage, home(tool_folder))
    return home(tool_folder) / "perf_analyzer"


def _download_wheel(scratch: Path) -> Path:
    requirements = scratch / "requirements.txt"
    requirements.write_text(f"tritonclient=={VERSION} --hash=sha256:{WHEEL_SHA256}\n")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    pip += ["--only-binary", ":all:", "--platform", "manylinux1_x86_64", "--require-hashes"]
    done = run([*pip, "--requirement", requirements, "--dest", scratch], timeout_s=600)
    if done.returncode != 0 or not (scratch / WHEEL).exists():
        raise ToolMissingError(
            f"pip could not download {WHEEL}: {done.stderr_end(4) or 'no reason given'}",
            hint="check the network and pip's index (`pip config list`), then run `tritonsmith doctor --install` again",
        )
    return scratch / WHEEL


def _take_binary(wheel: Path, target: Path) -> None:
    with zipfile.ZipFile(wheel) as archive, archive.open(MEMBER) as source, target.open("wb") as sink:
        shutil.copyfileobj(source, sink)
    target.chmod(0o755)


def _copy_libraries(wheel_libraries: Path, folder: Path) -> None:
    """Copy, not link: the tool folder outlives the virtual environment that the libraries come from."""
    for name, pattern in LIBRARIES.items():
        source = next(iter(sorted(wheel_libraries.glob(pattern))), None)
        if source is None:
            raise ToolMissingError(
                f"{wheel_libraries} has no {pattern}, which perf_analyzer needs",
                hint="reinstall it: pip install --force-reinstall nvidia-pytriton==0.7.0",
            )
        shutil.copyfile(source, folder / name)
        # libssl asks for libcrypto under its mangled name
        if name == "libcrypto.so.3":
            (folder / source.name).symlink_to(name)


def _appear(stage: Path, target: Path) -> None:
    """Rename the stage into place; somebody who was faster has installed the same."""
    try:
        stage.rename(target)
    except OSError:
        if not (target / "perf_analyzer").exists():
            raise
