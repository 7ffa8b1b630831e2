"""Commands end with a status that a supervisor understands, and one line that a person does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from bytewax.errors import BytewaxRuntimeError

from flows import ending
from flows.settings import SettingsError
from operators.kafka_client import KafkaSettingsError, KafkaSourceError
from operators.row_store import StoreError
from operators.rules import RuleError


def raising(error: Exception, *, by_the_engine: bool = True) -> Callable[[], None]:
    """A run that fails; the engine wraps what a step raises, twice."""

    def run() -> None:
        if not by_the_engine:
            raise error
        try:
            try:
                raise error
            except Exception as cause:
                raise BytewaxRuntimeError("step raised") from cause
        except BytewaxRuntimeError as cause:
            raise BytewaxRuntimeError("worker failed") from cause

    return run


@pytest.mark.parametrize(
    ("run", "status", "told"),
    [
        (raising(SettingsError("UNDERTONE_X: no"), by_the_engine=False), 2, "job: UNDERTONE_X: no\n"),
        (raising(RuleError("rule 'a': no"), by_the_engine=False), 2, "job: rule 'a': no\n"),
        (raising(KafkaSettingsError("no")), 2, "job stopped: KafkaSettingsError: no\n"),
        (raising(KafkaSourceError("no topic")), 3, "job stopped: KafkaSourceError: no topic\n"),
        (raising(StoreError("sessions: 2 rows")), 1, "job stopped: StoreError: sessions: 2 rows\n"),
        (raising(OSError(98, "taken"), by_the_engine=False), 1, "job stopped: OSError: [Errno 98] taken\n"),
    ],
)
def test_the_cause_is_one_line(
    run: Callable[[], None], status: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ending.status("job", run) == status
    assert capsys.readouterr().err == told


def test_what_was_hidden_on_purpose_stays_hidden() -> None:
    def hides() -> None:
        try:
            raise ValueError("a customer's words")
        except ValueError:
            raise StoreError("2 rows") from None

    with pytest.raises(StoreError) as raised:
        hides()
    assert ending.root_cause(raised.value) is raised.value


def test_a_bug_is_not_dressed_up() -> None:
    with pytest.raises(ZeroDivisionError):
        ending.status("job", lambda: 1 // 0)
