"""Collect modules that need torch or onnx only where these are installed."""

from importlib.util import find_spec

NEED_TORCH = ["baseline.py", "network.py", "distil.py", "train.py", "export.py", "report.py", "thaw.py"]
collect_ignore = [] if find_spec("torch") else NEED_TORCH
if not find_spec("onnx"):
    collect_ignore += ["graph.py", "export.py", "report.py", "thaw.py"]
