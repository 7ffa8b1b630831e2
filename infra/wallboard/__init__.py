"""The terminal wallboard: reads the store's tables and draws them with rich. See `python -m infra.wallboard --help`."""

from infra.wallboard.live import watch
from infra.wallboard.picture import save_picture
from infra.wallboard.render import render
from infra.wallboard.snapshot import Alert, Conversation, Latency, Queue, Snapshot
from infra.wallboard.store import Wall

__all__ = ["Alert", "Conversation", "Latency", "Queue", "Snapshot", "Wall", "render", "save_picture", "watch"]
