"""Say what this machine lacks for the set-up, and make a virtual environment. Needs nothing but Python itself.

Usage: python3 .ci/prepare.py [FOLDER]. FOLDER is where the environment shall be made; none where there is one.
"""

import os
import platform
import subprocess
import sys

OLDEST, NEWEST = (3, 10), (3, 12)  # of the embedded server's Python stubs, those with a numpy below 2
GLIBC = (2, 35)  # nvidia-pytriton's wheel is manylinux_2_35


def main(folder):
    """Check the machine and the running interpreter, then make the environment."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        refuse(
            f"the embedded tritonserver runs on x86-64 Linux; this is {platform.system()} on {platform.machine()}",
            "pip install tritonsmith gives you spec, build and check; serve with `tritonsmith serve --container`",
        )
    glibc = os.confstr("CS_GNU_LIBC_VERSION") or "another C library"
    if tuple(map(int, glibc.partition(" ")[2].split(".")[:2] or (0,))) < GLIBC:
        refuse(
            f"the embedded tritonserver needs glibc {GLIBC[0]}.{GLIBC[1]}; this system has {glibc}",
            "use Debian 12, Ubuntu 22.04 or newer, or a container of one of them",
        )
    version = sys.version_info[:2]
    if not OLDEST <= version <= NEWEST:
        refuse(
            f"{sys.executable} is Python {version[0]}.{version[1]}; the embedded server needs 3.10 to 3.12",
            "make PYTHON=python3.11 quickstart, outside any other virtual environment",
        )
    if folder and subprocess.run([sys.executable, "-m", "venv", folder]).returncode:
        refuse(
            f"{sys.executable} cannot make a virtual environment",
            f"install the package python{version[0]}.{version[1]}-venv, or activate an environment made by virtualenv "
            "or uv, and run make again",
        )


def refuse(message, hint):
    """End with status 5: a tool is missing."""
    print(f"error: {message}\n  hint: {hint}", file=sys.stderr)
    sys.exit(5)


main(sys.argv[1] if len(sys.argv) > 1 else "")
