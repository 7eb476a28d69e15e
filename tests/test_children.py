"""Processes that edgerun starts: what Ctrl-C and the death of their parent do to them."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from edgerun.children import deaf
from tests.daemon_process import wait_for


def test_ctrl_c_is_the_parents_to_answer() -> None:
    """Sent to a child from its first moment on, as a terminal does: it works on."""
    with deaf():
        child = subprocess.Popen(
            [sys.executable, "-c", "print(input())"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        child.send_signal(number)
    said, _ = child.communicate(b"still here\n")
    assert (child.returncode, said) == (0, b"still here\n")


def test_a_child_ends_with_its_parent(tmp_path: Path) -> None:
    """Even where that one was killed, and a child that hangs."""
    child = (
        "import time; from edgerun.children import die_with_parent\n"
        "die_with_parent(); print(1, flush=True); time.sleep(99)"
    )
    parent = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}], stdout=subprocess.PIPE)\n"
        "child.stdout.readline(); print(child.pid, flush=True); child.wait()\n"
    )
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.kill()
    wait_for(lambda: not Path(f"/proc/{pid}/cmdline").exists() or not Path(f"/proc/{pid}/cmdline").read_bytes(), 30)
