"""What a command says of itself when it starts: one line in the log and the metric `undertone_build_info`.

Versions, numbers and a path: no text, no secret, no address.
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
    """Log what runs, and show it on the metrics page."""
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
    """Let the job's own loggers write to the standard error stream: one line each, with the time in UTC."""
    lines = logging.StreamHandler()
    lines.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%SZ"))
    assert lines.formatter is not None
    lines.formatter.converter = time.gmtime
    ours = logging.getLogger("undertone")
    ours.handlers = [lines]
    ours.setLevel(logging.INFO)
