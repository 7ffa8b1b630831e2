"""Setting up: a Python that does not fit is told in one line, with the fix, before anything is made."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.store_reader import ROOT


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A PATH with a Python 3.13 as its only Python, and without uv."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("python3", "python3.13"):
        program(folder / name, 'case "$1" in --version) echo "Python 3.13.1";; *) exit 1;; esac')
    return folder


def program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def set_up(path: Path, venv: Path) -> subprocess.CompletedProcess[str]:
    command = ["/bin/sh", "infra/setup.sh", str(venv), "requirements/run.lock"]
    return subprocess.run(command, cwd=ROOT, env={"PATH": str(path)}, capture_output=True, text=True, check=False)


def test_a_python_that_does_not_fit_is_told_with_what_to_install(programs: Path, tmp_path: Path) -> None:
    done = set_up(programs, tmp_path / "venv")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("Undertone needs Python 3.10, 3.11 or 3.12")
    assert "found: Python 3.13.1" in line
    assert "install uv" in line
    assert not (tmp_path / "venv").exists()


def test_no_python_at_all_is_told_too(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = set_up(tmp_path / "empty", tmp_path / "venv")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "found: none" in line


def test_an_environment_of_a_python_that_no_longer_fits_is_told_with_the_fix(programs: Path, tmp_path: Path) -> None:
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_bytes((programs / "python3").read_bytes())
    python.chmod(0o755)
    done = set_up(programs, tmp_path / "venv")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "was made with Python 3.13.1" in line
    assert "make clean" in line


def test_uv_brings_a_python_where_none_fits(programs: Path, tmp_path: Path) -> None:
    program(programs / "uv", f'echo "$@" > {tmp_path}/asked; exit 9')
    done = set_up(programs, tmp_path / "venv")
    assert done.returncode == 9, done.stderr
    assert "--python 3.12" in (tmp_path / "asked").read_text()
