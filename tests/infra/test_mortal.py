"""What is bound to a process dies with it, however it dies."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from infra.mortal import bound
from tests.processes import is_running
from tests.store_reader import ROOT

PATIENCE_SECONDS = 30.0
PARENT = """
import subprocess, sys, time
from infra.mortal import bound
child = subprocess.Popen(bound([sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]),
                         stdout=subprocess.PIPE, start_new_session=True)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(600)
"""


def test_a_child_dies_with_a_parent_that_is_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], cwd=ROOT, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert is_running(child)
    parent.kill()
    parent.communicate()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while is_running(child):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_it_is_the_program_itself_with_its_arguments_and_its_status() -> None:
    program = "import os, sys; print(os.getppid(), *sys.argv[1:]); sys.exit(7)"
    process = subprocess.Popen(bound([sys.executable, "-c", program, "a b", "--x"]), stdout=subprocess.PIPE, text=True)
    said, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert (said, process.returncode) == (f"{os.getpid()} a b --x\n", 7)


def test_a_parent_that_died_before_is_noticed() -> None:
    command = bound([sys.executable, "-c", "print('started')"])
    command[command.index(str(os.getpid()))] = "1"
    assert subprocess.run(command, capture_output=True, check=True).stdout == b""


def test_a_program_that_is_not_there_is_told() -> None:
    done = subprocess.run(bound(["no-such-program"]), capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "FileNotFoundError" in done.stderr
