"""Find free loopback ports for child processes."""

from __future__ import annotations

import random
import socket
from typing import Final

_LOW, _HIGH = 15_000, 32_000
"""Below the range that Linux and macOS use for outgoing connections, which could take a free port before we do."""
_TRIES: Final = 1000
_DICE: Final = random.SystemRandom()


def free_port() -> int:
    """Return a loopback port that no process listens on at this moment.

    >>> 15_000 <= free_port() < 32_000
    True
    """
    return free_ports(1)[0]


def free_ports(count: int) -> range:
    """Return `count` consecutive loopback ports that no process listens on at this moment.

    Raises:
        OSError: no such range was found in 1000 tries.

    >>> len(free_ports(3))
    3
    """
    for _ in range(_TRIES):
        first = _DICE.randrange(_LOW, _HIGH - count)
        ports = range(first, first + count)
        if all(map(_is_free, ports)):
            return ports
    raise OSError(f"no {count} free ports between {_LOW} and {_HIGH}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port is free once its last owner ended
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
