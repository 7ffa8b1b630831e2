"""The traffic is lifelike, deterministic, its own words, and every malformed record is refused as it says."""

import json
import re
import time
from collections import Counter
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path

import phonenumbers
import pytest
from stdnum import iban, luhn

from infra import traffic
from infra.traffic.__main__ import main
from infra.traffic.malformed import KINDS
from infra.traffic.people import person
from infra.traffic.script import ScriptError, parse, stories
from operators.decode import decode
from operators.records import CHANNELS, Event, Origin, Rejected
from operators.redact import redact

ROOT = Path(__file__).parents[2]
START = datetime(2026, 3, 1, 9, tzinfo=timezone.utc)
NOW_MS = int((START + timedelta(hours=1)).timestamp() * 1000)
ORIGIN = Origin(topic="t", partition=0, offset=0, broker_ms=NOW_MS)


@pytest.fixture(scope="module")
def sent() -> list[traffic.Sent]:
    return list(traffic.generate(7, 150, START, 27, malformed=0.03))


@pytest.fixture(scope="module")
def events(sent: list[traffic.Sent]) -> list[Event]:
    read = [decode(one.payload, ORIGIN, NOW_MS) for one in sent if one.expected_reason is None]
    assert not [one for one in read if isinstance(one, Rejected)]
    return [one for one in read if isinstance(one, Event)]


def test_same_seed_gives_the_same_bytes(sent: list[traffic.Sent]) -> None:
    assert list(traffic.generate(7, 150, START, 27, malformed=0.03)) == sent
    assert list(traffic.generate(8, 150, START, 27, malformed=0.03)) != sent


def test_records_leave_in_sending_order_and_never_before_they_happened(sent: list[traffic.Sent]) -> None:
    assert [one.at_ms for one in sent] == sorted(one.at_ms for one in sent)
    for one in sent:
        if one.expected_reason is None:
            happened = datetime.fromisoformat(json.loads(one.payload)["event_time"].replace("Z", "+00:00"))
            assert happened.timestamp() * 1000 <= one.at_ms


def test_every_malformed_record_is_refused_for_the_reason_it_was_made_for(sent: list[traffic.Sent]) -> None:
    refused = [one for one in sent if one.expected_reason is not None]
    assert {one.expected_reason for one in refused} == {reason for reason, _ in KINDS}
    for one in refused:
        verdict = decode(one.payload, ORIGIN, NOW_MS)
        assert isinstance(verdict, Rejected), one.expected_reason
        assert verdict.reason.value == one.expected_reason


def test_all_channels_and_kinds_of_event_occur(events: list[Event]) -> None:
    assert {event.channel for event in events} == set(CHANNELS)
    wanted = {"utterance", "opened", "closed", "hold", "resume", "transfer", "rating", "retracted"}
    assert {event.kind for event in events} == wanted
    assert {"customer", "agent", "bot", "system"} == {event.speaker for event in events}


def test_partials_edits_and_retractions_come_with_their_revisions(events: list[Event]) -> None:
    by_id = {(event.event_id, event.revision): event for event in events}
    partials = [event for event in events if not event.final]
    assert partials
    for partial in partials:
        final = by_id[partial.event_id, partial.revision + 1]
        assert final.final
        assert final.text.startswith(partial.text)
        assert final.event_time == partial.event_time
    retracted = [event for event in events if event.kind == "retracted"]
    assert all(event.revision == 1 and (event.event_id, 0) in by_id for event in retracted)
    assert any(event.revision == 1 and event.channel == "chat" and event.kind == "utterance" for event in events)


def test_some_records_are_sent_twice_and_some_out_of_order(sent: list[traffic.Sent], events: list[Event]) -> None:
    good = Counter(one.payload for one in sent if one.expected_reason is None)
    assert 2 in good.values()
    times = [event.event_time for event in events if event.final]
    assert any(later < earlier - timedelta(seconds=60) for earlier, later in pairwise(times))


def test_mails_carry_quotes_signatures_disclaimers_html_and_auto_replies(events: list[Event]) -> None:
    mails = [event for event in events if event.channel == "email" and event.speaker == "customer"]
    for trace in ("\n> ", "\n-- \n", "confidential", "<blockquote>"):
        assert any(trace in event.text for event in mails), trace
    assert any(event.attributes.get("auto_submitted") == "auto-replied" for event in mails)


def test_people_have_valid_personal_data() -> None:
    for number in range(60):
        who = person(7, number)
        assert luhn.is_valid("".join(filter(str.isdigit, who.card)))
        assert iban.is_valid(who.iban)
        assert phonenumbers.is_valid_number(phonenumbers.parse(who.phone, who.region))


def test_personal_data_is_of_a_kind_that_redaction_finds() -> None:
    for number in range(60):
        who = person(7, number)
        assert redact(f"it is {who.national_id}, thanks", who.region) == ("it is [ID], thanks", 1)
        assert redact(f"it is {who.link}, thanks", who.region) == ("it is [URL], thanks", 1)
        assert who.token in who.link
        for written in (who.mail, who.phone, who.card, who.iban, who.spoken_card, who.account):
            assert re.fullmatch(r"it is \[[A-Z]+\], thanks", redact(f"it is {written}, thanks", who.region)[0])


def test_planted_lists_what_the_traffic_holds(sent: list[traffic.Sent]) -> None:
    everything = b"\n".join(one.payload for one in sent).decode(errors="replace")
    secrets = traffic.planted(7, 150)
    found = [secret for secret in secrets if secret in everything]
    assert len(found) > 200
    for kind in ("card", "iban", "phone", "mail", "spoken_card", "national_id", "account", "token"):
        assert any(person(7, number).personal()[kind] in found for number in range(150)), kind


def test_there_are_many_stories_and_each_is_played() -> None:
    told = stories()
    assert len(told) >= 40
    assert {story.industry for story in told} == {
        "telecom", "bank", "airline", "retail", "insurance", "utilities", "software", "health",
    }  # fmt: skip
    assert {scene.story.name for scene in traffic.plan(1, len(told), START, 27)} == {story.name for story in told}
    hops = [sum(step.action == "contact" for step in story.steps) for story in told]
    assert sum(count > 1 for count in hops) >= 10
    for story in told:
        contacts = sum(step.action == "contact" for step in story.steps)
        turns = sum(bool(step.variants) and step.action != "rating" for step in story.steps)
        assert 4 <= turns <= 10 + 5 * contacts, story.name


def test_story_names_are_unique() -> None:
    assert len({story.name for story in stories()}) == len(stories())


def test_no_line_is_taken_from_the_training_corpus() -> None:
    corpus = {
        line.split("\t")[-1].strip().casefold()
        for path in (ROOT / "models" / "corpus").glob("*.tsv")
        for line in path.read_text(encoding="utf-8").splitlines()
    }
    lines = [variant.casefold() for story in stories() for step in story.steps for variant in step.variants]
    shared = [line for line in lines if line in corpus and len(line.split()) > 3]
    assert shared == []


def test_a_line_that_means_nothing_is_named() -> None:
    with pytest.raises(ScriptError, match=r"bank\.txt:3: not a line of a story: 'x: hello'"):
        list(parse("brand: B @b\n== a | b\nx: hello", "bank"))


def test_bulk_is_well_formed_distinct_and_in_event_order() -> None:
    out = list(traffic.bulk(3, 20_000, 500, START, step_ms=2))
    read = [decode(one.payload, ORIGIN, NOW_MS) for one in out]
    assert all(isinstance(event, Event) for event in read)
    ids = {event.event_id for event in read if isinstance(event, Event)}
    assert len(ids) == len(out)
    assert [one.at_ms for one in out] == [int(START.timestamp() * 1000) + 2 * n for n in range(len(out))]
    assert out == list(traffic.bulk(3, 20_000, 500, START, step_ms=2))


def test_command_writes_json_lines(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["--customers", "5", "--start", "2026-03-01T09:00:00Z"]) == 0
    lines = capfdbinary.readouterr().out.splitlines()
    assert len(lines) > 40
    assert all(json.loads(line)["schema"] == "undertone.event/1" for line in lines)


def test_command_plays_at_the_asked_speed(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    begun = time.monotonic()
    main(["--customers", "2", "--start", "2026-03-01", "--minutes", "20", "--speed", "6000"])
    span = [json.loads(line)["event_time"] for line in capfdbinary.readouterr().out.splitlines()]
    first, last = (datetime.fromisoformat(one.replace("Z", "+00:00")) for one in (min(span), max(span)))
    assert time.monotonic() - begun >= (last - first).total_seconds() / 6000 * 0.8
