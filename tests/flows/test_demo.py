"""The demo keeps honest books, tells what does not add up, and touches nothing that is not its own."""

import time
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path

import pytest

from flows.demo.account import Account, families_of, problems
from flows.demo.gauges import quantile
from flows.demo.play import LEAD, Books, Player, round_of_traffic
from flows.demo.stack import DemoError, claimed, fresh
from flows.demo.story import FOLLOWED, choose, customer_key
from infra.traffic import Sent
from infra.traffic.script import stories

NOW = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


def good(event_id: str, revision: int = 0, kind: str = "utterance") -> Sent:
    payload = f'{{"event_id":"{event_id}","revision":{revision},"kind":"{kind}"}}'.encode()
    return Sent(0, b"k", payload, None)


def bad(reason: str) -> Sent:
    return Sent(0, b"k", b"", reason)


def books_of(*sent: Sent) -> Books:
    books = Books()
    for one in sent:
        books.enter(one)
    return books


def account(rows: int, rejects: dict[str, int], families: dict[str, int], leaks: int = 0) -> Account:
    return Account(
        rows=rows, said=1, negative=0, redactions=0, customers=1, rejects=rejects, families=families, suppressed=0,
        leaks=leaks,
    )  # fmt: skip


class RecordingProducer:
    def __init__(self, left: int = 0) -> None:
        self.records: list[tuple[str, bytes, bytes]] = []
        self.left = left

    def produce(self, topic: str, value: bytes, key: bytes) -> None:
        self.records.append((topic, value, key))

    def poll(self, timeout: float) -> int:
        return 0

    def flush(self, timeout: float) -> int:
        return self.left


def test_a_revision_is_the_same_row_and_a_retraction_takes_it_back() -> None:
    books = books_of(good("a"), good("a", 1), good("b"), good("b", 1, "retracted"), good("c"))
    assert books.rows == 2
    assert books.sent == 5
    assert books.duplicates == 0


def test_a_record_sent_twice_is_a_duplicate_and_a_malformed_one_is_no_row() -> None:
    books = books_of(good("a"), good("a"), bad("empty"), bad("empty"), bad("not_json"))
    assert (books.rows, books.duplicates) == (1, 1)
    assert books.expected_rejects == Counter(empty=2, not_json=1)


def test_nothing_to_complain_about_when_all_adds_up() -> None:
    books = books_of(good("a"), bad("empty"))
    assert problems(account(1, {"empty": 1}, {"angry": 2}), books, {"angry"}) == []


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (account(1, {}, {"angry": 1}), "0 records were refused as empty, and 1 were made for that"),
        (account(1, {"empty": 1, "not_json": 2}, {"angry": 1}), "2 records were refused as not_json, and 0 were made"),
        (account(0, {"empty": 1}, {"angry": 1}), "scored_events holds 0 rows, and 1 events were sent"),
        (account(1, {"empty": 1}, {}), "no rule of the family 'angry' rose"),
        (account(1, {"empty": 1}, {"angry": 1}, leaks=3), "3 pieces of planted personal data are in the store"),
    ],
)
def test_what_does_not_add_up_is_told(found: Account, told: str) -> None:
    (problem,) = problems(found, books_of(good("a"), bad("empty")), {"angry"})
    assert told in problem


def test_families_are_read_from_the_rules() -> None:
    assert families_of({"rules": [{"family": "a"}, {"family": "b"}, {"family": "a"}]}) == {"a", "b"}


def test_the_player_sends_all_in_order_and_keeps_the_books() -> None:
    _, sent, _ = round_of_traffic(7, 12, lambda: NOW)
    producer, books = RecordingProducer(), Books()
    player = Player(producer, "topic", sent, 1e6, books)
    player.run()
    assert player.error is None
    assert producer.records == [("topic", one.payload, one.key) for one in sent]
    assert books.sent == len(sent)


def test_a_player_that_cannot_deliver_says_so() -> None:
    player = Player(RecordingProducer(left=4), "topic", [good("a")], 1e6, Books())
    player.run()
    assert "4 records could not be delivered" in str(player.error)


def test_a_stopped_player_sends_no_more() -> None:
    producer = RecordingProducer()
    player = Player(producer, "topic", [good("a"), Sent(10**9, b"k", b"{}", "empty")], 1.0, Books())
    player.start()
    player.stop()
    assert len(producer.records) <= 1


def test_event_time_stays_behind_now_and_a_further_round_goes_on_from_there() -> None:
    _, sent, end = round_of_traffic(7, 60, lambda: NOW)
    _, further, _ = round_of_traffic(8, 60, lambda: NOW, after=end)

    assert sent[0].at_ms >= (NOW - LEAD).timestamp() * 1000
    assert end < NOW
    assert further[0].at_ms >= end.timestamp() * 1000


def test_no_record_is_sent_before_its_time() -> None:
    far = int(time.time() * 1000) + 3_600_000
    producer = RecordingProducer()
    player = Player(producer, "topic", [Sent(far, b"k", b"{}", "empty")], 1e9, Books())
    player.start()
    player.join(0.2)
    player.stop()
    assert producer.records == []


def test_the_followed_story_goes_from_chat_to_call() -> None:
    scenes, _, _ = round_of_traffic(7, 48, lambda: NOW)
    scene = choose(scenes)
    assert scene.story.name == FOLLOWED[0]
    contacts = [step.value for step in scene.story.steps if step.action == "contact"]
    assert contacts[:2] == ["chat", "voice"]
    assert set(FOLLOWED) <= {story.name for story in stories()}
    assert customer_key(scene, "one secret") != customer_key(scene, "another")


def test_a_folder_that_the_demo_did_not_make_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("dear")
    with pytest.raises(DemoError, match="not made by the demo"):
        fresh(tmp_path)
    assert (tmp_path / "letters.txt").exists()


def test_its_own_folder_is_emptied(tmp_path: Path) -> None:
    folder = fresh(tmp_path / "demo")
    (folder / "old").touch()
    assert not (fresh(folder) / "old").exists()


def test_quantiles_of_a_histogram() -> None:
    buckets = [(0.1, 10.0), (0.5, 90.0), (1.0, 100.0), (float("inf"), 100.0)]
    assert quantile(buckets, 0.05) == pytest.approx(0.05)
    assert quantile(buckets, 0.5) == pytest.approx(0.3)
    assert quantile([(0.1, 0.0), (float("inf"), 5.0)], 0.5) == pytest.approx(0.1)


def test_two_demos_cannot_share_a_folder(tmp_path: Path) -> None:
    with (
        claimed(tmp_path / "demo"),
        pytest.raises(DemoError, match="another demo is using"),
        claimed(tmp_path / "demo"),
    ):
        pass
