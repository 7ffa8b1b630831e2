"""Modules of the training stack are collected only where it is installed."""

from importlib.util import find_spec

NEED_TORCH = ["baseline.py", "network.py", "distil.py", "train.py", "export.py", "report.py"]
collect_ignore = [] if find_spec("torch") else NEED_TORCH
if not find_spec("onnx"):
    collect_ignore += ["graph.py", "export.py", "report.py"]
