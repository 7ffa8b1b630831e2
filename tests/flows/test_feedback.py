"""Feedback reaches the topic as the contract says, by command and by page; nothing is sent by only opening a link."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

import msgspec
import pytest
from confluent_kafka import Consumer

from flows.feedback import ACTIONS, feedback, main
from flows.feedback_page import page_server, serve_forever
from flows.sender import NotSentError
from infra.embedded_kafka import MockCluster
from operators.records import Feedback

AT = datetime(2026, 5, 4, 9, 0, tzinfo=timezone.utc)
ID = "0000000000000007-14eeb2e25c4b"
LINK = {"escalation": ID, "tenant": "acme", "action": "good_catch"}


def read(cluster: MockCluster, count: int) -> list[Feedback]:
    """Read the feedback topic from its beginning."""
    consumer = Consumer(
        {
            "bootstrap.servers": cluster.bootstrap_servers,
            "group.id": "test",
            "auto.offset.reset": "earliest",
            "log_level": 0,
        }
    )
    consumer.subscribe(["undertone.feedback"])
    found: list[Feedback] = []
    for _ in range(60):
        message = consumer.poll(0.5)
        if message is not None and message.error() is None:
            found.append(msgspec.json.decode(message.value() or b"", type=Feedback))
        if len(found) == count:
            break
    consumer.close()
    return found


@pytest.mark.parametrize("action", ACTIONS)
def test_each_action_makes_a_record(action: str) -> None:
    record = feedback("e1", action, "desk-4", "acme", AT)
    assert (record.schema, record.action, record.escalation_id) == ("undertone.feedback/1", action, "e1")


def test_the_same_call_has_the_same_identity() -> None:
    assert feedback("e1", "resolved", "d", "acme", AT) == feedback("e1", "resolved", "d", "acme", AT)
    others = [("e2", "resolved", "d"), ("e1", "acknowledged", "d"), ("e1", "resolved", "f")]
    ids = {feedback(*other, "acme", AT).feedback_id for other in others}
    assert len(ids | {feedback("e1", "resolved", "d", "acme", AT).feedback_id}) == 4


@pytest.mark.parametrize(
    ("escalation", "action", "tenant"),
    [
        ("", "resolved", "acme"),
        ("e1", "ignored", "acme"),
        ("e1", "resolved", "no spaces"),
        ("e" * 201, "resolved", "acme"),
    ],
)
def test_nonsense_is_refused(escalation: str, action: str, tenant: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        feedback(escalation, action, "", tenant, AT)


def test_the_command_sends(mock_cluster: MockCluster, capsys: pytest.CaptureFixture[str]) -> None:
    environ = {"UNDERTONE_BROKERS": mock_cluster.bootstrap_servers}
    for action in ("acknowledged", "false_alarm"):
        arguments = ["--escalation", "e1", "--action", action, "--by", "desk-4", "--tenant", "acme"]
        assert main(arguments, environ) == 0
    assert "acknowledged e1" in capsys.readouterr().out
    records = read(mock_cluster, 2)
    assert [(record.action, record.by, record.tenant) for record in records] == [
        ("acknowledged", "desk-4", "acme"),
        ("false_alarm", "desk-4", "acme"),
    ]


def test_a_wrong_setting_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--escalation", "e1", "--action", "resolved", "--tenant", "acme"], {"UNDERTONE_EPOC": "1"}) == 1
    assert "UNDERTONE_EPOC" in capsys.readouterr().err


@pytest.mark.parametrize("left_out", ["--tenant", "--escalation", "--action"])
def test_a_command_that_is_not_complete(capsys: pytest.CaptureFixture[str], left_out: str) -> None:
    """Above all there is no tenant by default: what names a wrong one is sent and then changes nothing."""
    complete = {"--tenant": "acme", "--escalation": "e1", "--action": "resolved"}
    with pytest.raises(SystemExit):
        main([word for name, value in complete.items() if name != left_out for word in (name, value)], {})
    assert "--tenant, --escalation and --action are needed" in capsys.readouterr().err


@contextmanager
def page(sent: list[Feedback], failure: str = "") -> Iterator[str]:
    def send(record: Feedback) -> None:
        if failure:
            raise NotSentError(failure)
        sent.append(record)

    with page_server(("127.0.0.1", 0), send, lambda: AT) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def get(url: str) -> str:
    with urlopen(url) as reply:
        return str(reply.read().decode())


def post(url: str, fields: dict[str, str]) -> str:
    with urlopen(url, data=urlencode(fields).encode()) as reply:
        return str(reply.read().decode())


def ticket_of(form: str) -> str:
    found = re.search(r'name="ticket" value="(\w+)"', form)
    assert found is not None
    return found[1]


def test_only_the_button_sends() -> None:
    sent: list[Feedback] = []
    with page(sent) as url:
        form = get(url + "?" + urlencode(LINK))
        assert "Mark alert as good catch?" in form
        assert sent == []
        assert "Marked as good catch" in post(url, {**LINK, "by": "desk-4", "ticket": ticket_of(form)})
    assert sent == [feedback(ID, "good_catch", "desk-4", "acme", AT)]


def test_a_form_of_another_site_is_refused() -> None:
    sent: list[Feedback] = []
    with page(sent) as url, pytest.raises(HTTPError) as error:
        post(url, {**LINK, "ticket": "guessed"})
    assert error.value.code == 403
    assert sent == []
    error.value.close()


def test_what_a_link_carries_cannot_become_markup() -> None:
    with page([]) as url:
        form = get(url + "?" + urlencode({**LINK, "tenant": '"><script>alert(1)</script>'}))
    assert "<script>" not in form


@pytest.mark.parametrize("name", ["-", "", "${__data.fields.Alert}", "e1", "<b>", ID + "-x", "14eeb2e25c4b"])
def test_a_row_without_an_alert_has_nothing_to_answer(name: str) -> None:
    sent: list[Feedback] = []
    with page(sent) as url:
        ticket = ticket_of(get(url + "?" + urlencode(LINK)))
        asked = url + "?" + urlencode({**LINK, "escalation": name})
        with pytest.raises(HTTPError) as opened:
            get(asked)
        with pytest.raises(HTTPError) as pressed:
            post(url, {**LINK, "escalation": name, "ticket": ticket})
    for error in (opened.value, pressed.value):
        assert error.code == 400
        assert "no alert" in error.read().decode()
        error.close()
    assert sent == []


def test_an_alert_of_the_first_version_can_be_answered() -> None:
    with page([]) as url:
        assert "Mark alert" in get(url + "?" + urlencode({**LINK, "escalation": "14eeb2e25c4b0001"}))


@pytest.mark.parametrize(
    ("change", "status"), [({"action": "ignored"}, 400), ({"escalation": ""}, 400), ({"tenant": "no spaces"}, 400)]
)
def test_a_broken_form_is_refused(change: dict[str, str], status: int) -> None:
    sent: list[Feedback] = []
    with page(sent) as url:
        ticket = ticket_of(get(url + "?" + urlencode(LINK)))
        with pytest.raises(HTTPError) as error:
            post(url, {**LINK, **change, "ticket": ticket})
    assert error.value.code == status
    assert sent == []
    error.value.close()


def test_a_link_that_is_not_complete() -> None:
    with page([]) as url, pytest.raises(HTTPError) as error:
        get(url)
    assert error.value.code == 400
    error.value.close()


def test_a_broker_that_is_away_is_told() -> None:
    with page([], failure="broker <away>") as url:
        ticket = ticket_of(get(url + "?" + urlencode(LINK)))
        with pytest.raises(HTTPError) as error:
            post(url, {**LINK, "ticket": ticket})
    assert error.value.code == 503
    assert b"&lt;away&gt;" in error.value.read()
    error.value.close()


def test_an_address_to_serve_at_needs_a_port() -> None:
    with pytest.raises(ValueError, match=r"127\.0\.0\.1:8088"):
        serve_forever("localhost", lambda record: None)
