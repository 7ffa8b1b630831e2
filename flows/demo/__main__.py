"""Command of the demo: `python -m flows.demo --help`; `make demo` runs it."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import yaml
from clickhouse_connect.driver.exceptions import ClickHouseError
from confluent_kafka import Producer
from rich.console import Console
from rich.rule import Rule

from flows.demo import account, telling
from flows.demo.play import Books, Player, round_of_traffic
from flows.demo.stack import DemoError, Stack, claimed, job_environment, stack
from flows.settings import Settings, SettingsError
from infra import traffic
from infra.embedded_kafka import EmbeddedKafkaError
from infra.wallboard import Wall, render, save_picture, watch

DESCRIPTION = """Watch conversations turn sour, an escalation rise with its reasons, and the rows appear in ClickHouse.

The real dataflow runs on embedded parts: librdkafka's mock Kafka cluster and chDB, the ClickHouse engine. Invented
customers of eight industries talk over five channels, at 25 times the natural speed; with them come personal data,
duplicates, late records, and malformed ones that must be set aside. Then time goes on until all sessions are over,
everything sent is held against everything written, and one customer's story is told turn by turn."""
EPILOG = """examples:
  make demo                                     about two minutes, ends by itself
  make demo ARGS="--seed 11 --customers 300"    other people, more of them
  make demo ARGS="--speed 5"                    slower, to read along (about six minutes)
  make demo ARGS="--keep-running"               and on in real time until Ctrl-C

On a terminal a live wallboard is drawn; with CI=true or in a pipe the main figures are said in a line now and then.
UNDERTONE_MODEL_DIR, UNDERTONE_RULES and UNDERTONE_SCORER apply here too; other UNDERTONE_* variables are for real jobs
and are left out.
Exit status: 0 when all adds up; 1 when a record is unexplained, a rule family never rose, or a part failed."""


REST_S = 6.0
"""Seconds without a record after which the traffic is over; longer than an epoch, so that the wall is drawn before."""
LONGEST_PAUSE_S = 150.0
"""Longest gap in the traffic in which no record is sent, in seconds of event time."""
FOREVER_S = 3600.0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status."""
    asked = parser().parse_args(argv)
    console = Console(highlight=False, soft_wrap=True)
    begun = time.monotonic()
    try:
        found = _demo(asked, console)
    except (DemoError, EmbeddedKafkaError, ClickHouseError, SettingsError) as error:
        console.print(f"demo: {error}", style="bold red", markup=False)
        return 1
    console.print(f"\nDone in {time.monotonic() - begun:.0f} s.")
    for problem in found:
        console.print(f"PROBLEM: {problem}", style="bold red", markup=False)
    return 1 if found else 0


def parser() -> argparse.ArgumentParser:
    """Command line of the demo."""
    made = argparse.ArgumentParser(
        prog="python -m flows.demo",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--seed", type=int, default=7, help="which customers and words (default 7)")
    made.add_argument("--customers", type=positive(int), default=120, help="how many customers a round (default 120)")
    made.add_argument("--speed", type=positive(float), default=25.0, help="event seconds per second (default 25)")
    made.add_argument("--state", type=Path, default=Path(".state/demo"), help="folder (default .state/demo)")
    made.add_argument("--plain", action="store_true", help="lines instead of the wallboard, also on a terminal")
    made.add_argument("--picture", type=Path, metavar="FILE", help="also draw the last wallboard as an SVG file")
    made.add_argument("--keep-running", action="store_true", help="go on in real time until Ctrl-C")
    return made


def positive(read: Callable[[str], float]) -> Callable[[str], float]:
    """Read a number that must be above 0."""

    def checked(text: str) -> float:
        number = read(text)
        if number <= 0:
            raise argparse.ArgumentTypeError(f"{text} is not above 0")
        return number

    return checked


def _demo(asked: argparse.Namespace, console: Console) -> list[str]:
    settings = Settings.from_env(job_environment(os.environ, {}))
    books = Books()
    with claimed(asked.state) as folder:
        console.print(Rule("Undertone demo: setting up"))
        idle = FOREVER_S if asked.keep_running else REST_S + LONGEST_PAUSE_S / asked.speed
        with stack(folder, idle, lambda words: console.print(words, end="", markup=False)) as parts:
            scenes, seeds, whole = _play(asked, console, parts, books)
            parts.job.wait_for(lambda: parts.gauges.records_read() >= books.sent)
            latencies = parts.gauges.latencies()
            shot = Wall(parts.client, lambda: latencies).snapshot()
            console.print(render(shot, console.width), soft_wrap=False)
            if asked.picture:
                save_picture(shot, asked.picture)
            if not asked.keep_running:
                console.print("Nobody says any more: time goes on until the last session is over ...")
                parts.job.wait_for(lambda: parts.gauges.open_sessions() == 0)
            console.print("Stopping the job: it commits its last epoch ...")
            parts.job.stop()
            planted = sorted({secret for seed in seeds for secret in traffic.planted(seed, asked.customers)})
            taken = account.take(parts.client, planted)
            telling.summary(console, taken, books, latencies, len(planted))
            telling.follow(console, parts.client, scenes, settings.customer_secret)
        telling.how_to_query(console, folder)
    rules = yaml.safe_load(settings.rules.read_text(encoding="utf-8"))
    return account.problems(taken, books, account.families_of(rules) if whole else ())


def _play(
    asked: argparse.Namespace, console: Console, parts: Stack, books: Books
) -> tuple[list[traffic.Scene], list[int], bool]:
    """Play one round, or rounds until Ctrl-C.

    Return the first round's scenes, the seeds, and whether at least one round was played to its end.
    """
    plain = asked.plain or os.environ.get("CI") == "true"
    shown = Console(highlight=False, soft_wrap=True, force_terminal=False) if plain else console
    wall = Wall(parts.client, parts.gauges.latencies)
    first: list[traffic.Scene] = []
    seeds: list[int] = []
    end: datetime | None = None
    try:
        while not seeds or asked.keep_running:
            seeds.append(asked.seed + len(seeds))
            pace = f"{asked.speed:g} x speed" if end is None else "in real time"
            scenes, sent, end = round_of_traffic(seeds[-1], asked.customers, after=end)
            first = first or scenes
            title = f"{asked.customers} customers, {len(sent)} records, seed {seeds[-1]}, {pace}"
            console.print(Rule(title))
            _round(sent, asked.speed, shown, wall, parts, books)
    except KeyboardInterrupt:
        console.print("Interrupted: what was sent until now is accounted for.")
        return first, seeds, len(seeds) > 1
    return first, seeds, True


def _round(sent: list[traffic.Sent], speed: float, shown: Console, wall: Wall, parts: Stack, books: Books) -> None:
    player = Player(
        Producer({"bootstrap.servers": parts.brokers, "log_level": 0}), "undertone.events", sent, speed, books
    )
    player.start()
    try:
        watch(shown, wall.snapshot, lambda: _finished(player, parts, books))
    finally:
        player.stop()


def _finished(player: Player, parts: Stack, books: Books) -> bool:
    """Whether all records were sent and read; raises `DemoError` when a part failed."""
    parts.job.check()
    if player.is_alive():
        return False
    if player.error:
        raise DemoError(str(player.error))
    return parts.gauges.records_read() >= books.sent


if __name__ == "__main__":
    sys.exit(main())
