"""The dataflow graph, and the commands that run it."""

__version__ = "0.1.0"
