"""The shipped bundle, loaded once; tests of the training stack are collected only where torch is installed."""

from importlib.util import find_spec

import pytest

from models.scorer import OnnxScorer

collect_ignore = [] if find_spec("torch") else ["test_training.py"]


@pytest.fixture(scope="session")
def shipped() -> OnnxScorer:
    return OnnxScorer.load()
