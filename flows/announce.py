"""Announce a command at its start: one line in the log and the metric `undertone_build_info`.

Both hold versions, numbers and a path, but no message text, no secret and no network address.
"""

from __future__ import annotations

import logging
import time
from typing import Final

from flows import __version__
from flows.settings import Settings
from models.scorer import Scorer
from operators import metrics
from operators.rules import Rules

LOG: Final = logging.getLogger("undertone.start")


def announce(settings: Settings, scorer: Scorer, rules: Rules, *, process_id: int) -> None:
    """Log the versions that run, and set them as labels of `undertone_build_info`."""
    metrics.BUILD.labels(__version__, scorer.model_version, scorer.calibration_version, rules.version).set(1)
    LOG.info(
        "undertone %s, process %d of %d, model %s, calibration %s, rules %s, state in %s",
        __version__,
        process_id,
        settings.processes,
        scorer.model_version,
        scorer.calibration_version,
        rules.version,
        settings.state_dir,
    )


def log_to_stderr() -> None:
    """Make the job's own loggers write to the standard error stream: one line a record, with the time in UTC."""
    lines = logging.StreamHandler()
    lines.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%SZ"))
    assert lines.formatter is not None
    lines.formatter.converter = time.gmtime
    ours = logging.getLogger("undertone")
    ours.handlers = [lines]
    ours.setLevel(logging.INFO)
