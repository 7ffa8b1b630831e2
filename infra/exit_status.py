"""Exit statuses of `flows.live`, `flows.replay` and `infra.launch`, which the supervisor and operators tell apart."""

from typing import Final

FAILED: Final = 1
"""Any other failure: a restart may help."""
WRONG_CONFIGURATION: Final = 2
"""The configuration is wrong, so a restart cannot help."""
NEEDS_MENDING: Final = 3
"""Kafka lacks or denies a topic, records or the login; the command has printed which. A person has to repair it."""
TOO_MANY_REJECTS: Final = 4
"""Too many rejects in a row. A restart does not help: the job would count from zero and reject as many again."""
