"""`models.score`, `models.evaluate` and `models.calibrate` as a user meets them: files in, files and status out."""

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from models import calibrate, evaluate, score
from models.bundle import DEFAULT, verify
from models.scorer import SENTIMENTS, TAGS, OnnxScorer

ROWS: list[dict[str, Any]] = [
    {"id": "a", "text": "Where is my parcel?", "channel": "chat", "extra": {"kept": [1]}},
    {"id": "b", "text": "Thank you so much, it works again!", "channel": None, "language": "en"},
    {"id": "c", "text": "", "speaker": "customer", "dialogue_id": "d", "turn": 3},
]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def read(path: Path) -> list[dict[str, Any]]:
    content = path.read_bytes()
    content = gzip.decompress(content) if path.suffix == ".gz" else content
    return [json.loads(line) for line in content.splitlines()]


@pytest.mark.parametrize(("source", "target"), [("f.jsonl", "g.jsonl.gz"), ("f.jsonl.gz", "g.jsonl")])
def test_score_adds_fields_and_keeps_the_rest(tmp_path: Path, source: str, target: str) -> None:
    assert score.main(["--in", str(write(tmp_path / source, ROWS)), "--out", str(tmp_path / target)]) == 0
    scored = read(tmp_path / target)
    assert [{key: row[key] for key in before} for row, before in zip(scored, ROWS, strict=True)] == ROWS
    for row in scored:
        p = [row[f"p_{name}"] for name in SENTIMENTS]
        assert sum(p) == pytest.approx(1, abs=3e-4)
        assert row["score"] == pytest.approx(p[2] - p[0], abs=1e-4)
        assert row["label"] in SENTIMENTS
        assert tuple(row["emotions"]) == TAGS
        assert set(row["flags"]) <= set(TAGS)
    assert scored[2]["abstained"]


def test_score_reads_more_rows_than_one_batch(tmp_path: Path) -> None:
    rows = [{"id": i, "text": f"order {i}"} for i in range(score.BATCH + 5)]
    assert score.main(["--in", str(write(tmp_path / "f.jsonl", rows)), "--out", str(tmp_path / "g.jsonl")]) == 0
    assert [row["id"] for row in read(tmp_path / "g.jsonl")] == list(range(score.BATCH + 5))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": 5}', "f.jsonl:2: field 'text' must be a str, but is a int"),
        ('{"txt": "secret words"}', "f.jsonl:2: field 'text' must be a str, but is missing"),
        ('{"text": "secret words", "channel": 3}', "f.jsonl:2: field 'channel' must be a str"),
        ('["secret words"]', "f.jsonl:2: a row must be a JSON object"),
        ('{"text": "secret words"', "f.jsonl:2: not valid JSON"),
    ],
)
def test_a_bad_row_stops_with_its_place_and_without_its_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, message: str
) -> None:
    source = tmp_path / "f.jsonl"
    source.write_text(f'{{"text": "fine"}}\n{line}\n', encoding="utf-8")
    assert score.main(["--in", str(source), "--out", str(tmp_path / "g.jsonl")]) == 2
    errors = capsys.readouterr().err
    assert message in errors
    assert "secret" not in errors
    assert sorted(file.name for file in tmp_path.iterdir()) == ["f.jsonl"]


def test_a_missing_file_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert score.main(["--in", str(tmp_path / "no.jsonl"), "--out", str(tmp_path / "g.jsonl")]) == 2
    assert "no.jsonl" in capsys.readouterr().err


def labelled(count: int, sentiments: tuple[str, ...] = SENTIMENTS) -> list[dict[str, Any]]:
    texts = {
        "negative": "I have been waiting for weeks and nobody answers, number {}",
        "neutral": "What is the status of order {}?",
        "positive": "Thank you so much, parcel {} came early and it's perfect",
    }
    return [
        {
            "text": texts[name].format(i),
            "channel": "chat",
            "sentiment": name,
            "emotions": ["frustration"] if name == "negative" else [],
        }
        for i in range(count)
        for name in sentiments
    ]


def test_evaluate_measures_sentiment_and_tags(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write(tmp_path / "f.jsonl.gz", labelled(12))
    assert evaluate.main(["--data", str(data), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["rows"] == report["channels"]["chat"]["rows"] == 36
    assert report["channels"]["all"]["macro_recall"] > 0.9
    assert report["tags"]["frustration"]["positives"] == 12
    assert report["tags"]["frustration"]["auc"] > 0.9
    assert evaluate.main(["--data", str(data)]) == 0
    assert "macro recall" in capsys.readouterr().out


def test_evaluate_masks_what_was_not_annotated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows: list[dict[str, Any]] = [
        {"text": "one", "sentiment": None, "emotions": {"anger": True, "urgency": False}},
        {"text": "two", "sentiment": "neutral", "emotions": ["amusement"]},
        {"text": "three", "sentiment": "neutral", "emotions": None},
    ]
    assert evaluate.main(["--data", str(write(tmp_path / "f.jsonl", rows)), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report["tags"]) == {"anger", "urgency"}
    assert report["channels"]["all"]["rows"] == 2


def test_evaluate_names_a_bad_label(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main(["--data", str(write(tmp_path / "f.jsonl", [{"text": "x", "sentiment": "sour"}]))]) == 2
    assert "f.jsonl:1: field 'sentiment'" in capsys.readouterr().err


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    shutil.copytree(DEFAULT, tmp_path / "bundle")
    return tmp_path / "bundle"


def test_calibrate_refits_a_bundle_that_still_loads(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = OnnxScorer.load(bundle)
    assert calibrate.main(["--labels", str(write(tmp_path / "f.jsonl", labelled(40))), "--bundle", str(bundle)]) == 0
    verify(bundle)
    after = OnnxScorer.load(bundle)
    assert after.model_version == before.model_version
    assert after.calibration_version != before.calibration_version
    assert after.calibration_version in capsys.readouterr().out
    assert after.calibration.temperature["survey"] != after.calibration.temperature["chat"]


def test_calibrate_dry_run_writes_nothing(tmp_path: Path, bundle: Path) -> None:
    before = (bundle / "calibration.json").read_bytes()
    labels = write(tmp_path / "f.jsonl", labelled(40))
    assert calibrate.main(["--labels", str(labels), "--bundle", str(bundle), "--dry-run"]) == 0
    assert (bundle / "calibration.json").read_bytes() == before


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (labelled(5), "15 rows with a sentiment; at least 50"),
        (labelled(60, ("negative", "neutral")), "0 rows labelled positive; at least 5"),
    ],
)
def test_calibrate_refuses_too_few_labels_with_the_reason(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str], rows: list[dict[str, Any]], reason: str
) -> None:
    before = (bundle / "calibration.json").read_bytes()
    assert calibrate.main(["--labels", str(write(tmp_path / "f.jsonl", rows)), "--bundle", str(bundle)]) == 2
    assert reason in capsys.readouterr().err
    assert (bundle / "calibration.json").read_bytes() == before
