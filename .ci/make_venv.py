"""Make a virtual environment for the Makefile, or say what this machine lacks. Needs nothing but Python itself."""

import subprocess
import sys

SUPPORTED = ((3, 10), (3, 12))


def main(target):
    """Create the environment with the running interpreter."""
    version = sys.version_info[:2]
    if not SUPPORTED[0] <= version <= SUPPORTED[1]:
        sys.exit(
            f"error: {sys.executable} is Python {version[0]}.{version[1]}; the embedded server needs 3.10 to 3.12\n"
            "  hint: make PYTHON=python3.11 quickstart"
        )
    answer = subprocess.run([sys.executable, "-m", "venv", target])
    if answer.returncode:
        sys.exit(
            f"error: {sys.executable} cannot make a virtual environment\n"
            f"  hint: install the package python{version[0]}.{version[1]}-venv, or activate an environment made by "
            "virtualenv or uv and run make again"
        )


main(sys.argv[1])
