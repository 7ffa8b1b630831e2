"""Run a program that is killed when its parent process dies: `python infra/mortal.py PARENT PROGRAM ARGUMENT...`.

A supervisor, a demo or a test run that is killed cannot end its children, so a broker or a job would keep running. A
Linux process can ask to be killed when its parent dies (PR_SET_PDEATHSIG), and `exec` keeps that request: this script
makes the request and then replaces itself with the program. On other systems it only runs the program.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def bound(command: Sequence[str]) -> list[str]:
    """Return a command line that runs `command` and, on Linux, kills it when the thread that starts it ends.

    >>> bound(["sleep", "60"])[-2:]
    ['sleep', '60']
    """
    return [sys.executable, "-I", "-S", str(Path(__file__).resolve()), str(os.getpid()), *command]


def main() -> None:
    """Request the signal, check that the parent is still alive, and replace this process with the program."""
    parent, *command = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == int(parent):
        os.execvp(command[0], command)  # noqa: S606 - the command of whoever called `bound`


if __name__ == "__main__":
    main()
