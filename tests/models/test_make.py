"""What `make train` would run: the same model again from the same data, on whatever machine."""

import subprocess
from pathlib import Path

FOLDER = Path(__file__).parents[2]


def recipe(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = ["make", "--dry-run", "train", *arguments]
    return subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)


def test_no_part_of_it_follows_the_clock() -> None:
    """A budget of minutes makes the number of steps depend on how busy the machine is."""
    said = recipe().stdout
    assert "models.report" in said
    assert "--rounds 1 --rate 9e-5" in said
    assert "--budget-minutes" not in said


def test_data_named_for_the_trainings_alone_is_refused() -> None:
    """Export and report would measure on the rows of another folder."""
    ran = recipe("ARGS=--data elsewhere --threads 4")
    assert ran.returncode != 0
    assert "UNDERTONE_TRAINING_DATA" in ran.stderr
    assert recipe("ARGS=--threads 4").stdout.count("--threads 4") == 4
