"""Print the state of one customer as JSON: `python -m infra.show_state 00f3a9c2d4e5b601`.

It reads the customer's newest snapshot in the state folder, which is possible while the job runs. A snapshot holds
numbers, times and ids but no text. `python -m infra.clickhouse key` prints the key of a customer whose id is known.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
from collections.abc import Sequence

import msgspec

from flows.pipeline import FLOW_ID, STEP_CUSTOMER
from flows.settings import Settings, SettingsError
from infra.recovery_store import newest
from infra.state_folder import recovery
from operators import snapshots

STEP = f"{FLOW_ID}.{STEP_CUSTOMER}"


def named(value: object) -> object:
    """Convert records to dictionaries by field name, because JSON of the snapshot itself has no field names."""
    if isinstance(value, msgspec.Struct):
        return {field: named(getattr(value, field)) for field in value.__struct_fields__}
    return [named(item) for item in value] if isinstance(value, tuple) else value


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return 0 if the customer was found, 1 if not, 2 if setting, store or snapshot is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m infra.show_state",
        description="Show what the job knows of one customer, as JSON. UNDERTONE_STATE_DIR names the state folder.",
    )
    parser.add_argument("customer_key", type=lambda text: int(text, 16), help="16 hex digits, as in escalations")
    key = parser.parse_args(argv).customer_key
    try:
        blob = newest(recovery(Settings.from_env(os.environ).state_dir), STEP, str(key))
        known = None if blob is None else snapshots.load(blob)
    except (SettingsError, sqlite3.Error, snapshots.SnapshotError) as error:
        print(f"infra.show_state: {error}", file=sys.stderr)
        return 2
    if known is None:
        print("infra.show_state: the state folder does not know this customer", file=sys.stderr)
        return 1
    print(msgspec.json.format(msgspec.json.encode(named(known))).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
