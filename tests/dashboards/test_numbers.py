"""Panels show the right numbers: rows written by hand, and what must come out of them."""

from __future__ import annotations

import math
from urllib.parse import quote

import pytest
from clickhouse_connect.driver.client import Client

from dashboards import wallboard
from dashboards.alerts import SILENT_DAYS
from dashboards.sql import ALL, alerts, data_age, drift, open_alerts, reject_share, survey_answers, wilson
from tests.dashboards.conftest import END, empty
from tests.dashboards.macros import ALL as EVERY
from tests.dashboards.macros import Range, expand
from tests.dashboards.queries import all_queries
from tests.dashboards.traffic import Traffic, write

CHOICE: dict[str, str | list[str]] = {
    "tenant": [EVERY],
    "queue": [EVERY],
    "channel": [EVERY],
    "customer": "",
    "supervisors": "2",
    "changed": "billing",
    "moment": "",
}
Rows = list[dict[str, object]]


@pytest.fixture(autouse=True)
def _fresh(store: Client) -> None:
    empty(store)


def ask(store: Client, sql: str, seconds: int = 3600, **chosen: str | list[str]) -> Rows:
    found = store.query(expand(sql, Range(END - seconds, END), {**CHOICE, **chosen}))
    return [dict(zip(found.column_names, row, strict=True)) for row in found.result_rows]


def panel(store: Client, title: str, seconds: int | None = None, **chosen: str | list[str]) -> Rows:
    """Rows of a panel over the range that its page opens with, or the last so many seconds."""
    query = next(query for query in all_queries() if title in query.name)
    return ask(store, query.sql, seconds or query.seconds, **chosen)


def journey(store: Client, title: str, customer: int, seconds: int) -> Rows:
    """A panel or annotation of the customer's journey, over the last so many seconds."""
    return panel(store, f"customer journey / {title}", seconds, customer=f"{customer:016x}")


def put(store: Client, table: str, *rows: dict[str, object]) -> None:
    names = list(rows[0])
    store.insert(f"undertone.{table}", [[row[name] for name in names] for row in rows], column_names=names)


def at(seconds_ago: float) -> int:
    """An instant as the tables take it: milliseconds."""
    return int((END - seconds_ago) * 1000)


def message(number: int, seconds_ago: float, score: float, **more: object) -> dict[str, object]:
    label = "negative" if score < -0.3 else "positive" if score > 0.3 else "neutral"
    return {
        "tenant": "t",
        "event_id": f"e{number}",
        "event_time": at(seconds_ago),
        "channel": "chat",
        "kind": "utterance",
        "speaker": "customer",
        "queue": "billing",
        "score": score,
        "weight": 1.0,
        "label": label,
        "version": 0,
        "scored_time": at(seconds_ago - 0.1),
        **more,
    }


def alert(name: str, seconds_ago: float, **more: object) -> dict[str, object]:
    return {
        "tenant": "t",
        "raised_time": at(seconds_ago),
        "escalation_id": name,
        "version": 1,
        "state": "active",
        "event_time": at(seconds_ago),
        "customer_key": 7,
        "session_id": "s1",
        "queue": "billing",
        "channel": "chat",
        "rule": "sour",
        "level": 3,
        "route": "supervisor",
        "reason": "mood -0.52",
        **more,
    }


def answer(name: str, action: str, seconds_ago: float) -> dict[str, object]:
    return {
        "tenant": "t",
        "escalation_id": name,
        "feedback_id": f"{name}-{action}",
        "action": action,
        "by": "desk-1",
        "event_time": at(seconds_ago),
    }


def session(name: str, seconds_ago: float, **more: object) -> dict[str, object]:
    return {
        "tenant": "t",
        "session_id": name,
        "customer_key": 7,
        "started_time": at(seconds_ago),
        "ended_time": at(seconds_ago - 60),
        "version": 1,
        "state": "closed",
        "queue": "billing",
        "messages": 8,
        "outcome": "steady",
        **more,
    }


@pytest.mark.parametrize(("good", "total"), [(7, 10), (0, 5), (5, 5), (430, 900)])
def test_wilson_interval(good: int, total: int, store: Client) -> None:
    low, high = wilson(str(good), str(total))
    found = store.query(f"SELECT {low}, {high}").result_rows[0]
    z, share = 1.96, good / total
    centre = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total)) / (1 + z * z / total)
    assert found == pytest.approx((centre - half, centre + half), abs=1e-5)


def test_no_judgement_has_no_interval(store: Client) -> None:
    assert store.query("SELECT {}, {}".format(*wilson("0", "0"))).result_rows[0] == (None, None)


def test_the_wall_counts_a_replayed_message_once(store: Client) -> None:
    rows = [message(number, 60 + number, -0.8 if number < 9 else 0.1) for number in range(30)]
    put(store, "scored_events", *rows)
    put(store, "scored_events", *rows[:10])
    store.command(
        "INSERT INTO undertone.rollup_1m SELECT tenant, minute, queue, channel, messages, negatives, neutrals, "
        "positives, abstained, score_sum, weight_sum, customers, now64(3) FROM undertone.v_queues_1m"
    )
    (found,) = panel(store, "queues now")
    assert found["Messages"] == 30
    assert found["Negative"] == pytest.approx(0.3)
    assert found["Mood"] == pytest.approx((9 * -0.8 + 21 * 0.1) / 30, abs=1e-6)


def test_a_small_queue_shows_no_share(store: Client) -> None:
    store.command(
        f"INSERT INTO undertone.rollup_1m SELECT 't', toDateTime({END - 120}, 'UTC'), 'tiny', 'chat', "
        "5, 5, 0, 0, 0, -5, 5, 1, now64(3)"
    )
    (found,) = panel(store, "queues now")
    assert (found["Messages"], found["Negative"], found["Mood"]) == (5, None, None)
    assert all(row["value"] is None for row in panel(store, "Negative messages"))


@pytest.mark.parametrize("title", ["Negative messages", "Mood, -1 to 1"])
def test_a_short_range_shows_the_same_15_minutes(title: str, store: Client) -> None:
    store.command(
        f"INSERT INTO undertone.rollup_1m SELECT 't', toDateTime({END} - 60 * number, 'UTC'), 'billing', 'chat', "
        "3, number % 3, 0, 0, 0, 1 - number % 3, 2, 1, now64(3) FROM numbers(60)"
    )

    now = {seconds: panel(store, title, seconds)[-1] for seconds in (3600, 900, 300, 30)}

    assert now[3600]["value"] is not None
    assert now == dict.fromkeys(now, now[3600])


def test_a_lane_leads_to_its_queue_whatever_its_name(store: Client) -> None:
    name = "R&D: 100% + #1 / élite"
    store.command(
        f"INSERT INTO undertone.rollup_1m SELECT 't', toDateTime({END - 120}, 'UTC'), '{name}', 'chat', "
        "30, 0, 0, 0, 0, 1, 1, 1, now64(3)"
    )
    lanes = next(panel for panel in wallboard.board()["panels"] if panel["type"] == "state-timeline")

    for found in panel(store, "Queues over time"):
        assert found["queue"] == name
        assert found["link"] == quote(name, safe="")
    assert lanes["fieldConfig"]["defaults"]["links"][0]["url"].endswith("&var-queue=${__field.labels.link:raw}")


def test_a_lane_ends_where_nobody_says_anything(store: Client) -> None:
    """Two blocks side by side, a silence, and one block to the end; the other queue is heard in between."""
    for queue, minutes in (("billing", [40, 39, 20]), ("claims", [30]), ("late", [0])):
        store.command(
            f"INSERT INTO undertone.rollup_1m SELECT 't', toDateTime({END} - 60 * arrayJoin({minutes}), 'UTC'), "
            f"'{queue}', 'chat', 30, 0, 0, 0, 0, 1, 1, 1, now64(3)"
        )

    lanes: dict[object, list[tuple[float, object]]] = {}
    for row in panel(store, "Queues over time"):
        minutes_ago = (END - row["time"].timestamp()) / 60  # type: ignore[attr-defined]  # of a driver without types
        lanes.setdefault(row["queue"], []).append((minutes_ago, row["state"]))

    assert lanes == {
        "billing": [(40, 0), (39, 0), (38, None), (20, 0), (19, None)],
        "claims": [(30, 0), (29, None)],
        "late": [(0, 0)],
    }


def test_age_of_data(store: Client) -> None:
    put(store, "scored_events", message(1, 500, 0.0), message(2, 42, 0.0))
    assert ask(store, data_age(ALL)) == [{"tenant": "t", "seconds": 42.0}]


def test_data_is_as_old_as_the_counts_where_their_view_stands_still(store: Client) -> None:
    put(store, "scored_events", message(1, 500, 0.0, stored_time=at(90)), message(2, 42, 0.0, stored_time=at(30)))
    assert ask(store, data_age(ALL)) == [{"tenant": "t", "seconds": 86400.0}]

    def counted(seconds: int) -> None:
        store.command(
            f"INSERT INTO undertone.rollup_1m SELECT 't', toStartOfMinute(toDateTime({END} - {seconds}, 'UTC')), "
            "'billing', 'chat', 1, 0, 0, 0, 0, 1, 1, 1, now64(3)"
        )

    counted(600)
    assert ask(store, data_age(ALL)) == [{"tenant": "t", "seconds": float(END - (END - 600) // 60 * 60)}]
    counted(500)
    assert ask(store, data_age(ALL)) == [{"tenant": "t", "seconds": 42.0}]


def test_an_organisation_that_fell_silent_stays_in_the_alarm(store: Client) -> None:
    put(store, "scored_events", message(1, 30 * 3600, 0.0))
    assert ask(store, data_age(ALL)) == []
    assert ask(store, data_age(ALL, days=SILENT_DAYS)) == [{"tenant": "t", "seconds": 30 * 3600.0}]


def test_an_answered_alert_stays_open_until_it_is_closed(store: Client) -> None:
    put(store, "escalations", alert("waits", 300), alert("seen", 400), alert("done", 500))
    put(
        store,
        "escalations",
        alert("calm", 600, state="resolved", event_time=at(550)),
        alert("held", 10, state="suppressed"),
    )
    put(store, "feedback", answer("seen", "acknowledged", 350), answer("done", "acknowledged", 480))
    put(store, "feedback", answer("done", "resolved", 450), answer("done", "false_alarm", 440))
    open_now = {row["escalation_id"]: row for row in ask(store, open_alerts(ALL))}
    assert set(open_now) == {"waits", "seen"}
    assert open_now["waits"]["age_s"] == 300
    assert open_now["waits"]["answered_time"] is None
    every = {row["escalation_id"]: row for row in ask(store, alerts(ALL))}
    assert every["done"]["verdict"] == "false_alarm"
    assert every["waits"]["verdict"] == ""
    assert every["calm"]["closed_time"] is not None
    assert panel(store, "Longest unanswered") == [{"seconds": 300.0}]
    assert panel(store, "Critical alerts open") == [{"alerts": 2}]
    by_level = {row["Level"]: row for row in panel(store, "Open alerts by age")}
    assert by_level[3] == {"Level": 3, "< 2 min": 0, "2-10": 2, "> 10 min": 0, "Unanswered": 1}
    assert by_level[1]["Unanswered"] == 0
    (rule,) = panel(store, "Rules: load, speed and precision")
    assert (rule["Alerts"], rule["Held back"], rule["Judged"], rule["good"], rule["Precision"]) == (4, 1, 1, 0, 0.0)
    assert panel(store, "Per supervisor-hour (target") == [{"load": pytest.approx(4 / 24 / 2)}]


def test_an_open_alert_stays_open_over_a_week_end(store: Client) -> None:
    put(store, "escalations", alert("friday", 3 * 86400), alert("seen", 6 * 86400), alert("long ago", 8 * 86400))
    put(store, "feedback", answer("seen", "acknowledged", 6 * 86400 - 60))

    assert panel(store, "Critical alerts open") == [{"alerts": 2}]
    assert panel(store, "Longest unanswered") == [{"seconds": 3 * 86400.0}]
    assert panel(store, "Open now") == [{"alerts": 2}]
    assert panel(store, "alert Critical alert unanswered") == [{"tenant": "t", "queue": "billing", "value": 1.0}]


def test_the_list_that_the_wall_leads_to_has_every_alert_that_it_counts(store: Client) -> None:
    """The wall's link carries its range of an hour; closed alerts are listed where they were raised in the range."""
    put(store, "escalations", alert("new", 60), alert("friday", 3 * 86400), alert("long ago", 8 * 86400))
    put(store, "escalations", alert("done", 7200), alert("done now", 600), alert("seen", 2 * 86400))
    put(store, "escalations", alert("calm", 86400, state="resolved", event_time=at(80000)))
    put(store, "escalations", alert("cue", 4000, route="agent"), alert("held", 5000, state="suppressed"))
    put(store, "feedback", answer("done", "resolved", 7000), answer("done now", "resolved", 500))
    put(store, "feedback", answer("seen", "acknowledged", 86400))

    def listed(seconds: int) -> list[object]:
        return [row["Alert"] for row in panel(store, "Alerts (click the time", seconds)]

    assert panel(store, "Critical alerts open") == [{"alerts": 3}]
    assert listed(3600) == ["new", "done now", "seen", "friday"]
    assert listed(9 * 86400) == ["new", "done now", "cue", "held", "done", "calm", "seen", "friday", "long ago"]


@pytest.mark.parametrize(("length", "days"), [(28, [27, 14, 0]), (1, [27, 14, 0]), (60, [40, 28, 27, 14, 0])])
def test_precision_is_drawn_of_28_whole_days_and_more_where_the_range_has_more(
    length: int, days: list[int], store: Client
) -> None:
    """Up to noon; a day that the range cuts off is drawn outside of it, and is no whole day."""
    query = next(query for query in all_queries() if "Precision by day" in query.name)
    noon = END // 86400 * 86400 - 86400 // 2
    raised = {f"a{day}": noon - 86400 // 2 - 86400 * day + 3600 for day in (60, 40, 27, 14, 0)}
    raised["cut off"] = noon - 86400 * 28 + 60
    put(store, "escalations", *[alert(name, END - second) for name, second in raised.items()])
    put(store, "feedback", *[answer(name, "good_catch", 0) for name in raised])

    found = store.query(expand(query.sql, Range(noon - 86400 * length, noon, 86400), CHOICE)).result_rows

    assert query.seconds == 28 * 86400
    assert [row[0].timestamp() for row in found] == [noon - 86400 // 2 - 86400 * day for day in days]
    assert all(row[-1] == 1.0 for row in found)


def test_answered_is_a_share_of_the_alerts_that_reached_a_supervisor(store: Client) -> None:
    put(store, "escalations", alert("sent", 600), alert("held", 500, state="suppressed"))
    put(store, "escalations", alert("cue", 400, route="agent"), alert("cue2", 300, route="agent"))
    put(store, "feedback", answer("sent", "acknowledged", 550), answer("cue", "acknowledged", 390))

    (rule,) = panel(store, "Rules: load, speed and precision")

    assert (rule["Alerts"], rule["Cues"], rule["Held back"], rule["Answered"]) == (1, 2, 1, 1.0)
    assert rule["Answered after"] == 50


def test_an_alert_that_changed_shows_its_last_state(store: Client) -> None:
    put(store, "escalations", alert("a", 300, level=2))
    put(store, "escalations", alert("a", 300, level=3, version=2))
    (found,) = ask(store, open_alerts(ALL))
    assert found["level"] == 3


def test_worst_conversations_come_first_with_their_reason(store: Client) -> None:
    live = {"state": "open", "ended_time": at(30), "channels": ["chat", "voice"]}
    put(
        store,
        "sessions",
        session("s1", 300, final_level=-0.6, customer_key=7, n_anger=1, trend="declining", **live),
        session("s2", 900, final_level=-0.8, customer_key=2**63 + 5, n_anger=1, trend="no_change", **live),
        session(
            "old",
            900,
            final_level=-0.9,
            customer_key=9,
            n_anger=1,
            trend="no_change",
            **{**live, "ended_time": at(7200)},
        ),
    )
    put(store, "escalations", alert("a1", 200))
    first, second = panel(store, "Worst live conversations")
    assert first["Customer"] == f"{2**63 + 5:016x}"
    assert (first["Reason"], first["Trend"], first["Alert"]) == ("anger", "no_change", "")
    assert second["Customer"] == f"{7:016x}"
    assert (second["Reason"], second["Trend"], second["Alert"]) == ("mood -0.52", "declining", "a1")
    assert (second["Path"], second["Minutes"]) == ("chat → voice", 5)


def test_a_customer_is_found_by_the_key_that_links_carry(store: Client) -> None:
    key = 2**63 + 12345
    put(store, "sessions", session("s1", 300, customer_key=key))
    assert len(journey(store, "Sessions", key, 3600)) == 1


def test_a_journey_shows_the_session_that_began_before_its_range(store: Client) -> None:
    live = {"state": "open", "ended_time": at(30), "hops": 2, "channels": ["email", "voice"], "rating": 0.5}
    put(store, "sessions", session("live", 26 * 3600, **live))
    put(store, "sessions", session("over", 26 * 3600, ended_time=at(7200), hops=1))

    (found,) = journey(store, "Sessions", 7, 3600)

    assert found["Path"] == "email → voice"
    assert journey(store, "Channel changes (panel", 7, 3600) == [{"hops": 2}]
    assert journey(store, "Last survey answer", 7, 3600) == [{"answer": 0.5}]


def test_a_long_journey_ends_with_its_newest_rows(store: Client) -> None:
    turns: Rows = [
        {"tenant": "t", "customer_key": 7, "event_id": f"e{n}", "event_time": at(n), "session_id": "s", "version": 1,
         "speaker": "customer", "channel": ("chat", "voice")[n % 2]}
        for n in range(1, 601)
    ]  # fmt: skip
    put(store, "journey", *[{key: turn[key] for key in turn if key != "session_id"} for turn in turns])
    put(store, "trajectory", *turns)
    put(store, "escalations", *[alert(f"a{n}", n) for n in range(1, 601)])
    put(store, "sessions", *[session(f"s{n}", n + 60) for n in range(1, 601)])

    for title, column, rows in (
        ("Messages (", "Time", 500),
        ("What was known", "Time", 500),
        ("Sessions", "Started", 200),
        ("Alerts (panel", "Raised", 200),
        ("annotation Alerts", "time", 500),
        ("annotation Channel changes", "time", 500),
    ):
        times = [row[column] for row in journey(store, title, 7, 3600)]
        assert len(times) == rows, title
        assert times == sorted(times, key=str), title
        newest = END - 61 if title == "Sessions" else END - 1
        assert times[-1].timestamp() == newest, title  # type: ignore[attr-defined]  # of a driver without types


def test_a_survey_is_no_change_of_channel(store: Client) -> None:
    path = ("chat", "chat", "survey", "voice", "voice", "survey")
    turns: Rows = [
        {"tenant": "t", "customer_key": 7, "event_id": f"e{n}", "event_time": at(600 - n), "session_id": "s",
         "version": 1, "speaker": "customer", "channel": channel}
        for n, channel in enumerate(path)
    ]  # fmt: skip
    put(store, "trajectory", *turns)

    assert [row["title"] for row in journey(store, "annotation Channel changes", 7, 3600)] == ["chat → voice"]


def test_a_change_is_measured_against_the_other_queues(store: Client) -> None:
    rows = []
    for queue, early, late in (("billing", -0.2, 0.4), ("claims", 0.0, 0.1)):
        for number in range(40):
            wiggle = 0.01 if number % 2 else -0.01
            for when, level in ((5 * 86400, early), (2 * 86400, late)):
                name = f"{queue}-{number}-{when}"
                rows.append(session(name, when, queue=queue, final_level=level + wiggle, rating=None))
    put(store, "sessions", *rows)
    found = {row["Measure"]: row for row in panel(store, "Before and after")}["Mood at the end"]
    assert found["Sessions"] == 80
    assert found["Before"] == pytest.approx(-0.2, abs=1e-6)
    assert found["Change"] == pytest.approx(0.6, abs=1e-6)
    assert found["Others' change"] == pytest.approx(0.1, abs=1e-6)
    assert found["Net effect"] == pytest.approx(0.5, abs=1e-6)
    half = 1.96 * math.sqrt(4 * (0.01**2 * 40 / 39) / 40)
    assert (found["from"], found["to"]) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-5)


def test_a_change_is_not_measured_on_sessions_too_short_to_tell(store: Client) -> None:
    for when, shift, outcome in ((5 * 86400, 0.4, "steady"), (2 * 86400, -0.8, "soured")):
        put(store, "sessions", *[session(f"{when}-{n}", when, shift=shift, outcome=outcome) for n in range(4)])
        put(store, "sessions", *[session(f"{when}-{n}-u", when, shift=0.0, outcome="unknown") for n in range(4)])

    found = {row["Measure"]: (row["Before"], row["After"]) for row in panel(store, "Before and after")}

    assert found["Shift"] == (pytest.approx(0.4), pytest.approx(-0.8))
    assert found["Soured share"] == (0.0, 1.0)


@pytest.mark.parametrize(("shift", "drifted"), [(0.0, False), (0.6, True)])
def test_drift_sees_a_shift_and_nothing_else(shift: float, drifted: bool, store: Client) -> None:
    rows = [message(day * 1000 + n, day * 86400 + 60 + n, math.sin(n) * 0.4) for day in (1, 2) for n in range(400)]
    rows += [message(9000 + n, 60 + n, math.sin(n) * 0.4 - shift) for n in range(400)]
    put(store, "scored_events", *rows)
    (found,) = ask(store, drift(ALL))
    assert isinstance(found["psi"], float)
    assert (found["psi"] > 0.25) == drifted
    assert drifted or found["psi"] < 0.02


def test_few_messages_are_no_drift(store: Client) -> None:
    put(store, "scored_events", *[message(n, 60 + n, 0.0) for n in range(50)])
    assert ask(store, drift(ALL)) == []


def test_what_was_rejected_is_a_share_of_all_whoever_is_chosen(store: Client) -> None:
    put(store, "scored_events", *[message(n, 60 + n, 0.0, tenant="t", topic="e") for n in range(99)])
    put(
        store,
        "dead_letters",
        {"topic": "e", "partition": 0, "offset": 1, "stage": "decode", "reason": "not_json", "broker_time": at(60)},
    )

    shares = [
        panel(store, "Rejected (target", 3600, **choice)[0]["share"]
        for choice in ({}, {"tenant": ["nobody"]}, {"channel": ["voice"]})
    ]

    assert shares == [0.01, 0.01, 0.01]
    assert ask(store, reject_share()) == [{"topic": "e", "share": 0.01}]


def test_a_session_too_short_to_tell_does_not_pull_its_queue_to_0(store: Client) -> None:
    put(store, "sessions", *[session(f"s{n}", 60 + n, begin=-0.4, end=0.6) for n in range(20)])
    unknown = {"begin": 0.0, "end": 0.0, "outcome": "unknown"}
    put(store, "sessions", *[session(f"short{n}", 60 + n, **unknown) for n in range(20)])
    put(store, "sessions", *[session(f"few{n}", 60 + n, queue="claims", **unknown) for n in range(20)])

    (found,) = panel(store, "Begin and end, by queue")

    assert found == {"queue": "billing", "Begin": pytest.approx(-0.4), "End": pytest.approx(0.6)}


def test_agents_are_adjusted_for_whom_they_got(store: Client) -> None:
    rows = []
    for number in range(25):  # both end at the same mood, but a1 got the unhappy ones
        rows.append(session(f"a{number}", 3600 + number, agent_key="a1", begin=-0.8, end=0.0, shift=0.8))
        rows.append(session(f"b{number}", 3600 + number, agent_key="b1", begin=0.8, end=0.0, shift=-0.8))
        rows.append(session(f"c{number}", 3600 + number, agent_key="c1", begin=-0.8, end=-0.4, shift=0.4))
    rows += [session(f"d{number}", 3600, agent_key="few", begin=0.0, end=1.0, shift=1.0) for number in range(19)]
    put(store, "sessions", *rows)
    added = {row["Agent"]: row["Value added"] for row in panel(store, "Value added")}
    assert added == {"a1": pytest.approx(0.2), "b1": pytest.approx(0.0), "c1": pytest.approx(-0.2)}


def test_a_survey_answer_is_held_against_the_mood_before_the_survey(store: Client) -> None:
    put(
        store,
        "sessions",
        session("chat", 900, final_level=-0.9, rating=-1.0, forecast=-0.25),
        session("stranger", 700, final_level=0.8, rating=1.0, forecast=None),
        session("silent", 600, final_level=0.3, rating=None, forecast=0.3),
    )

    found = {row["rating"]: row["predicted"] for row in ask(store, survey_answers(ALL))}

    assert found == {-1.0: pytest.approx(-0.25)}


def test_answered_and_closed_mean_what_the_view_says(store: Client) -> None:
    write(store, Traffic(end=END, events=12_000))
    columns = "escalation_id, {}, {}, verdict"
    mine = ask(store, f"SELECT {columns.format('answered_time', 'closed_time')} FROM ({alerts(ALL)}\n)", 3 * 86400)
    view = ask(store, f"SELECT {columns.format('acked_time', 'resolved_time')} FROM undertone.v_escalations")

    found = sorted([tuple(row.values()) for row in mine], key=str)

    assert found == sorted([tuple(row.values()) for row in view], key=str)
    assert {"good_catch", ""} <= {row[-1] for row in found}
    assert any(row[1] is None and row[2] is not None for row in found), "cleared by the job, answered by nobody"


@pytest.mark.parametrize(
    ("title", "column"),
    [
        ("Kafka lag", "records"),
        ("Stream-time lag", "seconds"),
        ("Age of records when scored", "kafka"),
        ("Kafka to score, and", "p99"),
        ("Abstained share, by channel", "share"),
        ("Mean confidence", "confidence"),
    ],
)
def test_no_line_is_drawn_over_a_time_without_rows(title: str, column: str, store: Client) -> None:
    """Grafana joins neighbouring rows, however far apart: the minutes in between must be there, and empty."""
    times = [300, 240, 60]
    epoch = {"topic": "e", "partition": 0, "position": 5, "end_offset": 9}
    put(store, "progress", *[{**epoch, "committed_time": at(ago), "stream_time": at(ago + 1)} for ago in times])
    put(store, "scored_events", *[
        message(n + 100 * ago, ago, 0.0, topic="e", scored_time=at(ago), broker_time=at(ago + 1), confidence=0.5)
        for ago in times for n in range(20)
    ])  # fmt: skip

    drawn = [
        (END - row["time"].timestamp(), row[column] is None)  # type: ignore[attr-defined]  # of a driver without types
        for row in panel(store, title, 3600)
    ]

    assert drawn == [(300, False), (240, False), (180, True), (120, True), (60, False)]


def test_latency_is_shown_to_the_score_and_to_the_row(store: Client) -> None:
    times = {"broker_time": at(60.5), "scored_time": at(60.4), "stored_time": at(56.5)}
    put(store, "scored_events", *[message(n, 61, 0.0, **times) for n in range(3)])

    (found,) = panel(store, "Kafka to score, and", 3600)

    assert (found["p50"], found["p99"]) == (100, 100)
    assert (found["row p50"], found["row p99"]) == (4.0, 4.0)


def test_progress_counts_what_is_still_to_be_read_and_when_the_last_epoch_was(store: Client) -> None:
    rows = [
        {"topic": "e", "partition": 0, "committed_time": at(65), "position": 5, "end_offset": 900},
        {"topic": "e", "partition": 0, "committed_time": at(60), "position": 10, "end_offset": 40},
        {"topic": "e", "partition": 1, "committed_time": at(20), "position": 7, "end_offset": 12},
    ]
    put(store, "progress", *({**row, "stream_time": at(90)} for row in rows))

    assert panel(store, "Last committed epoch")[0]["seconds"] == 20
    assert panel(store, "Records to be read")[0]["records"] == 35
    assert [(row["Position"], row["End"], row["Behind"], row["Ago"]) for row in panel(store, "Progress by")] == [
        (10, 40, 30, 60),
        (7, 12, 5, 20),
    ]
    drawn = [row for row in panel(store, "Kafka lag") if row["records"] is not None]
    assert {(row["source"], row["records"]) for row in drawn} == {
        ("e 0", 895.0),
        ("e 0", 30.0),
        ("e 1", 5.0),
    }
    assert {(row["source"], row["seconds"]) for row in panel(store, "Stream-time lag")} == {
        ("e 0", 25.0),
        ("e 0", 30.0),
        ("e 1", 70.0),
    }
