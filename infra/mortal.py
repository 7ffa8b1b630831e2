"""Run a program that dies with whoever started it: `python infra/mortal.py PARENT PROGRAM ARGUMENT...`.

A supervisor, a demo or a test run that is killed cannot end its children, and a broker or a job would go on without
it. Linux kills a process when its parent dies if it has asked for that, and the wish outlives `exec`: this script asks
and becomes the program. Elsewhere the program merely runs.
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
    """Command line of `command`, bound to the life of this process (of the thread, to be exact, that starts it).

    >>> bound(["sleep", "60"])[-2:]
    ['sleep', '60']
    """
    return [sys.executable, "-I", "-S", str(Path(__file__).resolve()), str(os.getpid()), *command]


def main() -> None:
    """Ask, make sure that the parent did not die before, and become the program."""
    parent, *command = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == int(parent):
        os.execvp(command[0], command)  # noqa: S606 - the command of whoever called `bound`


if __name__ == "__main__":
    main()
