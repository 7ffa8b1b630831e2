"""Ports for what is started beside us."""

from __future__ import annotations

import random
import socket
from typing import Final

_LOW, _HIGH = 15_000, 32_000
"""Below the range that Linux and macOS give to outgoing connections, any of which could take a port that was free."""
_TRIES: Final = 1000
_DICE: Final = random.SystemRandom()


def free_port() -> int:
    """A loopback port that nobody listens on at this moment.

    >>> 15_000 <= free_port() < 32_000
    True
    """
    return free_ports(1)[0]


def free_ports(count: int) -> range:
    """So many loopback ports, one after the other, that nobody listens on at this moment.

    Raises:
        OSError: there are no such ports.

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
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port whose last owner just left is free
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
