"""The committed contracts are those of the records, and the examples are what they say."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import jsonschema
import msgspec
import pytest

from infra.contracts import CONTRACTS, FOLDER, rendered, write
from operators.decode import decode, decode_feedback
from operators.records import CHANNELS, Escalation, Event, Evidence, Feedback, Reason, Rejected, Transition
from tests.operators.wire import NOW_MS, ORIGIN

GOOD = sorted((FOLDER / "examples" / "good").iterdir())
BAD = sorted((FOLDER / "examples" / "bad").iterdir())
ESCALATIONS = sorted((FOLDER / "examples" / "escalation").iterdir())
FEEDBACK = sorted((FOLDER / "examples" / "feedback").iterdir())
DESKTOP = (FOLDER.parents[1] / "docs" / "agent-desktop.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(CONTRACTS))
def test_a_committed_schema_is_the_record(name: str) -> None:
    committed = (FOLDER / name).read_text(encoding="utf-8")
    assert rendered(CONTRACTS[name]) == committed, "the records changed: run `python -m infra.contracts`"
    jsonschema.Draft202012Validator.check_schema(json.loads(committed))


@pytest.mark.parametrize("name", sorted(CONTRACTS))
def test_every_field_of_a_contract_is_described(name: str) -> None:
    parts = json.loads((FOLDER / name).read_text(encoding="utf-8"))["$defs"]
    fields = {f"{part}.{field}": its for part, whole in parts.items() for field, its in whole["properties"].items()}
    assert [field for field, its in fields.items() if len(its.get("description", "")) < 15] == []


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
    told_by_decode = {reason.value for reason in Reason} - {Reason.NOT_SCORABLE.value, Reason.NOT_FOLDABLE.value}
    assert {path.stem for path in BAD} == told_by_decode


@pytest.mark.parametrize("path", ESCALATIONS, ids=lambda path: path.stem)
def test_an_example_of_an_escalation_is_one_to_the_last_field(path: Path) -> None:
    payload = path.read_bytes()
    schema = json.loads((FOLDER / "escalation.v1.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(json.loads(payload))
    escalation = msgspec.json.decode(payload, type=Escalation)
    assert json.loads(msgspec.json.encode(escalation)) == json.loads(payload)
    assert path.stem.split("-")[1:] == [str(escalation.version), escalation.transition]


@pytest.mark.parametrize("path", FEEDBACK, ids=lambda path: path.stem)
def test_an_example_of_feedback_is_accepted_and_answers_an_alert_of_the_examples(path: Path) -> None:
    payload = path.read_bytes()
    schema = json.loads((FOLDER / "feedback.v1.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(json.loads(payload))
    feedback = decode_feedback(payload, ORIGIN, NOW_MS)
    assert isinstance(feedback, Feedback), feedback
    assert path.stem == feedback.action
    alerts = [msgspec.json.decode(example.read_bytes(), type=Escalation) for example in ESCALATIONS]
    assert (feedback.tenant, feedback.escalation_id) in {(alert.tenant, alert.escalation_id) for alert in alerts}


def test_the_page_for_desktops_tells_every_step_with_its_state() -> None:
    told = dict(re.findall(r"^\| `(\w+)` \| `(\w+)` \|", DESKTOP, re.MULTILINE))
    assert told.keys() == set(get_args(Transition))
    shown = [msgspec.json.decode(example.read_bytes(), type=Escalation) for example in ESCALATIONS]
    assert {(alert.transition, alert.state) for alert in shown} <= told.items()


def test_the_page_for_desktops_names_fields_that_there_are() -> None:
    (table,) = re.findall(r"^\| field \|.*\n\| ---.*\n((?:\|.*\n)+)", DESKTOP, re.MULTILINE)
    named = {name for row in table.splitlines() for name in re.findall(r"`([\w.]+)`", row.split("|")[1])}
    known = {*Escalation.__struct_fields__, *(f"evidence.{field}" for field in Evidence.__struct_fields__)}
    assert len(named) > 10
    assert named <= known


def test_the_code_of_the_page_for_desktops_keeps_the_newest_step_however_records_come() -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", DESKTOP, re.MULTILINE | re.DOTALL)
    records = [json.loads(example.read_bytes()) for example in ESCALATIONS]

    def states(order: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
        page: dict[str, Any] = {}
        exec(code, page)
        for record in order:
            page["take_in"](json.dumps(record).encode())
        return ((known["rule"], known["transition"]) for known in page["alerts"].values())

    newest = {("angry", "cleared"), ("cue-souring", "cleared")}
    assert set(states(records)) == set(states([*records, *records])) == set(states(records[::-1])) == newest
