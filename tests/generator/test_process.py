import os
import sys
import time
from pathlib import Path

import pytest

from tritonsmith.generator.process import run


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_what_a_program_says_and_how_it_ends_is_returned(capsys: pytest.CaptureFixture[str]) -> None:
    done = run(python("import sys; print('out'); sys.stderr.write('a\\nb\\nc\\n'); sys.exit(3)"), timeout_s=30)
    assert (done.returncode, done.stdout, done.is_timeout) == (3, "out\n", False)
    assert done.stderr_end(2) == "b\nc"
    assert capsys.readouterr().err.startswith(f"+ {sys.executable} -c ")


def test_a_program_past_its_limit_is_ended_with_its_children(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    child = f"import os, time; open({str(pid_file)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    done = run(python(code), timeout_s=2, is_shown=False)
    assert done.is_timeout
    assert done.seconds < 20
    assert is_gone(int(pid_file.read_text()))


def test_a_program_that_ignores_the_first_signal_is_killed() -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    done = run(python(code), timeout_s=1, is_shown=False)
    assert done.returncode == -9


def test_output_that_is_no_utf8_is_still_output() -> None:
    done = run(python("import sys; sys.stdout.buffer.write(b'a\\xffb')"), timeout_s=30, is_shown=False)
    assert done.stdout == "a\ufffdb"


def test_a_program_that_does_not_exist_is_named() -> None:
    with pytest.raises(FileNotFoundError, match="no-such-program"):
        run(["no-such-program"], timeout_s=1, is_shown=False)


def is_gone(pid: int) -> bool:
    deadline_s = time.monotonic() + 5
    while time.monotonic() < deadline_s:
        try:
            os.kill(pid, 0)
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (ProcessLookupError, FileNotFoundError):
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False
