"""The committed contracts are those of the records, and the examples are what they say."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from infra.contracts import CONTRACTS, FOLDER, rendered, write
from operators.decode import decode
from operators.records import CHANNELS, Event, Reason, Rejected
from tests.operators.wire import NOW_MS, ORIGIN

GOOD = sorted((FOLDER / "examples" / "good").iterdir())
BAD = sorted((FOLDER / "examples" / "bad").iterdir())


@pytest.mark.parametrize("name", sorted(CONTRACTS))
def test_a_committed_schema_is_the_record(name: str) -> None:
    committed = (FOLDER / name).read_text(encoding="utf-8")
    assert rendered(CONTRACTS[name]) == committed, "the records changed: run `python -m infra.contracts`"
    jsonschema.Draft202012Validator.check_schema(json.loads(committed))


def test_the_command_writes_every_schema(tmp_path: Path) -> None:
    assert sorted(path.name for path in write(tmp_path)) == sorted(CONTRACTS)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        name: (FOLDER / name).read_text() for name in CONTRACTS
    }


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_a_good_example_is_accepted_and_valid(path: Path) -> None:
    data = path.read_bytes()
    event = decode(data, ORIGIN, NOW_MS)
    assert isinstance(event, Event), event
    assert path.stem.startswith(event.channel + "-")
    schema = json.loads((FOLDER / "event.v1.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(json.loads(data))


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_bad_example_is_refused_for_the_reason_that_it_is_named_after(path: Path) -> None:
    result = decode(path.read_bytes(), ORIGIN, NOW_MS)
    assert isinstance(result, Rejected), result
    assert result.reason.value == path.stem


def test_there_is_an_example_for_each_channel_and_each_reason() -> None:
    assert {path.stem.partition("-")[0] for path in GOOD} == set(CHANNELS)
    told_by_decode = {reason.value for reason in Reason} - {Reason.NOT_SCORABLE.value}
    assert {path.stem for path in BAD} == told_by_decode
