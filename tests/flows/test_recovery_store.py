"""The recovery store appears whole or not at all, however many processes start and whenever they are killed."""

from __future__ import annotations

from pathlib import Path

import pytest
from bytewax.recovery import init_db_dir

from flows import parts
from flows.settings import Settings


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.sqlite3"))


WHOLE = ["part-0.sqlite3", "part-1.sqlite3", "part-2.sqlite3"]


def test_it_is_made_once(tmp_path: Path) -> None:
    made = parts.recovery_store(Settings(state_dir=tmp_path / "state", recovery_partitions=3))
    (made / "mark").touch()
    again = parts.recovery_store(Settings(state_dir=tmp_path / "state", recovery_partitions=5))
    assert again == made
    assert files(made) == WHOLE
    assert (made / "mark").exists()


def test_two_processes_that_start_together_share_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(state_dir=tmp_path, recovery_partitions=3)

    def overtaken(folder: str, count: int) -> None:
        monkeypatch.setattr(parts, "init_db_dir", init_db_dir)
        (parts.recovery_store(settings) / "of the other process").touch()
        init_db_dir(folder, count)

    monkeypatch.setattr(parts, "init_db_dir", overtaken)
    store = parts.recovery_store(settings)
    assert files(store) == WHOLE
    assert (store / "of the other process").exists()
    assert [path for path in tmp_path.iterdir() if path != store] == []


def test_a_kill_in_the_middle_leaves_no_half_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(state_dir=tmp_path, recovery_partitions=3)

    def killed(folder: str, count: int) -> None:
        init_db_dir(folder, count)
        (Path(folder) / "part-2.sqlite3").unlink()
        raise KeyboardInterrupt

    monkeypatch.setattr(parts, "init_db_dir", killed)
    with pytest.raises(KeyboardInterrupt):
        parts.recovery_store(settings)
    monkeypatch.setattr(parts, "init_db_dir", init_db_dir)
    assert files(parts.recovery_store(settings)) == WHOLE
