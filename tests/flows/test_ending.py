"""Commands end with a status that a supervisor understands, and one line that a person does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress

import pytest
from bytewax.errors import BytewaxRuntimeError

from flows import ending
from flows.settings import SettingsError
from infra.exit_status import FAILED, NEEDS_MENDING, WRONG_CONFIGURATION
from operators.first_failure import watched
from operators.kafka_client import KafkaSettingsError, KafkaSourceError
from operators.rejects import TooManyRejectsError
from operators.row_store import StoreError
from operators.rules import RuleError
from tests.flows.failing import PLACES
from tests.store_reader import ROOT


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
        (raising(TooManyRejectsError("9 in a row")), 4, "job stopped: TooManyRejectsError: 9 in a row\n"),
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


@pytest.mark.parametrize("wrapped", [True, False], ids=["under an error of ours", "alone"])
def test_a_message_of_a_library_that_quotes_a_customer_is_not_printed(
    wrapped: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    @watched
    def step() -> None:
        try:
            raise ValueError("cannot tokenise 'my card is 4111'")
        except ValueError as error:
            if not wrapped:
                raise
            raise StoreError("2 rows") from error

    assert ending.status("job", step) == FAILED
    told = "StoreError: 2 rows" if wrapped else f"ValueError in {__name__}.step"
    assert capsys.readouterr().err == f"job stopped: {told}\n"


def test_a_bug_is_not_dressed_up() -> None:
    with pytest.raises(ZeroDivisionError):
        ending.status("job", lambda: 1 // 0)


@pytest.mark.parametrize("place", [*PLACES, "nowhere"])
def test_the_cause_is_one_line_wherever_the_engine_meets_it(place: str) -> None:
    """In a process of its own: an engine of several processes leaves hooks behind that print more."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.flows.failing", place], cwd=ROOT, capture_output=True, text=True, check=False
    )
    error = PLACES.get(place)
    told = [] if error is None else [f"job stopped: {type(error).__name__}: {error}"]
    assert [line for line in done.stderr.splitlines() if line.startswith("job")] == told
    assert "Traceback" not in done.stderr
    expected = NEEDS_MENDING if place.startswith("source") else FAILED
    if place == "keyed.build":  # a snapshot of a newer version: the same at each start
        expected = WRONG_CONFIGURATION
    assert done.returncode == (0 if error is None else expected)


def test_a_cause_that_the_engine_lost_is_remembered(capsys: pytest.CaptureFixture[str]) -> None:
    class PanicException(BaseException):
        """As the engine's, which cannot be imported."""

    @watched
    def step() -> None:
        raise KafkaSettingsError("no login")

    def run(*, by_us: bool) -> None:
        with suppress(KafkaSettingsError):
            if by_us:
                step()
        raise PanicException("Send thread panic")

    assert ending.status("job", lambda: run(by_us=True)) == WRONG_CONFIGURATION
    assert capsys.readouterr().err == "job stopped: KafkaSettingsError: no login\n"
    assert ending.status("job", lambda: run(by_us=False)) == FAILED
    assert capsys.readouterr().err.startswith("job stopped: EngineError: another process of the job has ended")
