"""Ports for what is started beside us."""

from __future__ import annotations

import socket


def free_port() -> int:
    """A loopback port that nobody listens on at this moment.

    >>> 1024 <= free_port() <= 65535
    True
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
