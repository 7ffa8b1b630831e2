"""Modules of the training stack are collected only where it is installed."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("torch") else ["baseline.py", "network.py", "train.py", "export.py", "report.py"]
if not find_spec("onnx"):
    collect_ignore += ["graph.py", "export.py", "report.py"]
