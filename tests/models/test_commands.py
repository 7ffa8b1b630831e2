"""`models.score`, `models.evaluate` and `models.calibrate` as a user meets them: files in, files and status out."""

import gzip
import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import calibrate, evaluate, jsonl, score
from models.bundle import DEFAULT, SHIPPED_FIT, verify, write_manifest
from models.calibration import LabelledLogits, expected_error, fit, softmax
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


def test_only_customers_have_emotions_and_machines_are_not_judged(tmp_path: Path) -> None:
    """As in the live job; a speaker of any other name is no customer either."""
    speakers = ["customer", " Customer", None, "agent", "speaker 2", 0, "bot", "SYSTEM"]
    rows = [{"text": "Nobody answers, I am furious, fix it now!", "speaker": speaker} for speaker in speakers]
    assert score.main(["--in", str(write(tmp_path / "f.jsonl", rows)), "--out", str(tmp_path / "g.jsonl")]) == 0
    scored = read(tmp_path / "g.jsonl")
    assert [row["speaker"] for row in scored] == speakers
    assert all(row["flags"] and any(row["emotions"].values()) for row in scored[:3])
    for row in scored[3:]:
        assert row["flags"] == []
        assert row["emotions"] == dict.fromkeys(TAGS, 0.0)
    assert {row["label"] for row in scored[:6]} == {"negative"}
    for row in scored[6:]:
        assert [row[f"p_{name}"] for name in SENTIMENTS] == [0.0, 1.0, 0.0]
        assert (row["score"], row["label"], row["abstained"]) == (0.0, "neutral", True)


def test_what_the_bundle_cannot_read_is_not_judged(tmp_path: Path) -> None:
    names = ["en", "EN_us", "", None, "English", 7, " de", "de-AT", "fr_CA"]
    rows = [{"text": "This is terrible, I hate it", "language": name} for name in names]
    assert score.main(["--in", str(write(tmp_path / "f.jsonl", rows)), "--out", str(tmp_path / "g.jsonl")]) == 0
    scored = read(tmp_path / "g.jsonl")
    assert [row["language"] for row in scored] == names
    assert [row["label"] for row in scored] == ["negative"] * 6 + ["neutral"] * 3
    assert [row["abstained"] for row in scored] == [False] * 6 + [True] * 3
    assert scored[6]["emotions"] == dict.fromkeys(TAGS, 0.0)


def test_score_reads_more_rows_than_one_batch(tmp_path: Path) -> None:
    rows = [{"id": i, "text": f"order {i}"} for i in range(jsonl.BATCH_ROWS + 5)]
    assert score.main(["--in", str(write(tmp_path / "f.jsonl", rows)), "--out", str(tmp_path / "g.jsonl")]) == 0
    assert [row["id"] for row in read(tmp_path / "g.jsonl")] == list(range(jsonl.BATCH_ROWS + 5))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": 5}', "f.jsonl:2: field 'text' must be a string or null"),
        ('{"txt": "secret words"}', "f.jsonl:2: field 'text' is missing"),
        ('{"text": "secret words", "channel": 3}', "f.jsonl:2: field 'channel' must be a string or null"),
        ('["secret words"]', "f.jsonl:2: a row must be a JSON object"),
        ('{"text": "secret words"', "f.jsonl:2: not valid JSON"),
        ('{"text": secret words}', "f.jsonl:2: not valid JSON"),
        ('{"text": ' + "[" * 5000, "f.jsonl:2: not valid JSON"),
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


ODD = [
    pytest.param(b'\xef\xbb\xbf{"text": "fine"}\r\n\r\n{"text": "ok"}', ["fine", "ok"], id="byte-order-mark-and-crlf"),
    pytest.param(b'\n  \n{"text": "fine"}\n\n', ["fine"], id="blank-lines"),
    pytest.param(b'{"text": null, "channel": ""}\n', [None], id="null"),
    pytest.param(b'{"text": "late \\ud83d", "rank": NaN}\n', ["late ?"], id="cut-emoji-and-nan"),
    pytest.param(b'{"text": "late \\ud83d\\ude21"}\n', ["late \U0001f621"], id="emoji"),
    pytest.param(b'{"text": "\\u0000\\u2028"}\n', ["\0\u2028"], id="control-characters"),
    pytest.param(json.dumps({"text": "why " * 300_000}).encode(), ["why " * 300_000], id="1.2-mb"),
    pytest.param(b'{"text": "a", "channel": "Carrier Pigeon", "sentiment": 5, "": {}}', ["a"], id="odd-fields"),
    pytest.param(gzip.compress(b'{"text": "fine"}\n'), ["fine"], id="gzip-by-its-content"),
    pytest.param(b"", [], id="empty"),
]


@pytest.mark.parametrize(("content", "texts"), ODD)
def test_odd_but_usable_input_gets_a_row_each(tmp_path: Path, content: bytes, texts: list[str | None]) -> None:
    (tmp_path / "f.jsonl").write_bytes(content)
    assert score.main(["--in", str(tmp_path / "f.jsonl"), "--out", str(tmp_path / "g.jsonl")]) == 0
    scored = read(tmp_path / "g.jsonl")
    assert [row["text"] for row in scored] == texts
    assert all(row["label"] in SENTIMENTS for row in scored)
    assert all(row["abstained"] for row in scored if not row["text"])


def test_a_channel_is_known_in_any_case_and_an_unknown_one_is_as_none(tmp_path: Path) -> None:
    names = ["survey", " SURVEY ", "telex", None]
    rows = [{"text": "I guess it's fine.", "channel": name} for name in names]
    assert score.main(["--in", str(write(tmp_path / "f.jsonl", rows)), "--out", str(tmp_path / "g.jsonl")]) == 0
    scored = read(tmp_path / "g.jsonl")
    assert [row["channel"] for row in scored] == names
    p = [row["p_neutral"] for row in scored]
    assert p[0] == p[1] != p[2] == p[3]


def test_bad_lines_are_left_out_on_request_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "f.jsonl"
    source.write_text('{"text": "one"}\n{"txt": "secret"}\n"secret"\n{"text": "two"}\n', encoding="utf-8")
    assert score.main(["--in", str(source), "--out", str(tmp_path / "g.jsonl"), "--skip-bad"]) == 0
    assert [row["text"] for row in read(tmp_path / "g.jsonl")] == ["one", "two"]
    said = capsys.readouterr().err
    assert "left out 2 bad lines" in said
    assert "f.jsonl:2: field 'text' is missing" in said
    assert "secret" not in said


def test_a_batch_ends_before_long_texts_add_up() -> None:
    sizes = [3 << 20] * 7
    assert [len(batch) for batch in jsonl.batches(sizes, lambda size: size)] == [3, 3, 1]


def test_a_file_without_line_ends_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "LONGEST_LINE", 1000)
    (tmp_path / "f.jsonl").write_bytes(b'{"text": "x"}' * 1000)
    with pytest.raises(jsonl.RowError, match="longer than"):
        list(jsonl.read_rows(tmp_path / "f.jsonl"))


def test_a_cut_gzip_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "f.jsonl.gz").write_bytes(gzip.compress(json.dumps(ROWS[0]).encode() * 100)[:-20])
    assert score.main(["--in", str(tmp_path / "f.jsonl.gz"), "--out", str(tmp_path / "g.jsonl")]) == 2
    assert "f.jsonl.gz: " in capsys.readouterr().err
    assert not (tmp_path / "g.jsonl").exists()


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    assert score.main(["--in", str(write(tmp_path / "f.jsonl", ROWS)), "--out", str(pipe)]) == 0
    assert os.read(reader, 1 << 16).count(b"\n") == len(ROWS)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    os.close(reader)


def test_equal_input_gives_equal_bytes(tmp_path: Path) -> None:
    source = write(tmp_path / "f.jsonl", ROWS)
    for name in ("g.jsonl.gz", "h.jsonl.gz"):
        assert score.main(["--in", str(source), "--out", str(tmp_path / name)]) == 0
    assert (tmp_path / "g.jsonl.gz").read_bytes() == (tmp_path / "h.jsonl.gz").read_bytes()


def test_a_target_that_cannot_be_written_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path / "f.jsonl", ROWS)
    assert score.main(["--in", str(source), "--out", str(source / "g.jsonl")]) == 2
    assert "models.score: " in capsys.readouterr().err


def test_rows_flow_through_standard_input_and_output() -> None:
    """As a shell runs it: order kept, nothing but rows on standard output, and a reader that leaves ends it quietly."""
    lines = b"".join(json.dumps({"text": f"order {i}"}).encode() + b"\n" for i in range(20))
    command = [sys.executable, "-m", "models.score", "--in", "-", "--out", "-"]
    ran = subprocess.run(command, input=gzip.compress(lines), capture_output=True, check=True)
    assert [json.loads(line)["text"] for line in ran.stdout.splitlines()] == [f"order {i}" for i in range(20)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as left:
        assert left.stdin is not None
        assert left.stdout is not None
        assert left.stderr is not None
        left.stdout.close()
        left.stdin.write(lines)
        left.stdin.close()
        assert b"Error" not in left.stderr.read()


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


def test_evaluate_says_what_it_left_out_and_each_channels_tags(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    survey = {"source": "nhs_fft_survey", "meta": {"question": "How could we improve?"}, "channel": "survey"}
    rows: list[dict[str, Any]] = [
        {**survey, "id": "1", "text": "Nothing.", "sentiment": "positive", "emotions": None},
        *labelled(2),
        {"text": "cut me off again", "channel": "Voice", "sentiment": "negative", "emotions": ["anger"]},
    ]
    data = write(tmp_path / "f.jsonl", rows)
    assert evaluate.main(["--data", str(data), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["rows"], report["left_out"]) == (7, 1)
    assert report["channel_tags"]["voice"]["anger"]["positives"] == 1
    assert report["channel_tags"]["chat"]["anger"]["positives"] == 0
    assert evaluate.main(["--data", str(data)]) == 0
    assert "7 rows, 1 left out" in capsys.readouterr().out


def test_evaluate_prints_no_empty_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main(["--data", str(write(tmp_path / "f.jsonl", [{"text": "x", "sentiment": "neutral"}]))]) == 0
    said = capsys.readouterr().out
    assert "channel" in said
    assert "tag" not in said


def test_evaluate_names_a_shared_row_without_its_fields(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write(tmp_path / "f.jsonl", [{"text": "secret", "source": "goemotions"}])
    assert evaluate.main(["--data", str(data)]) == 2
    said = capsys.readouterr().err
    assert "f.jsonl:1: a row of source 'goemotions' lacks" in said
    assert "secret" not in said


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
    said = capsys.readouterr().out
    assert after.calibration_version in said
    assert "chat: 120 rows count 38%" in said
    assert "sarcasm (0)" in said
    assert "frustration" not in said
    assert after.calibration.temperature["survey"] != after.calibration.temperature["chat"]


def test_the_same_labels_count_once_however_often_they_are_given(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each run begins from the fit that the bundle came with, not from the one before."""
    shipped = (bundle / "calibration.json").read_bytes()
    labels = write(tmp_path / "f.jsonl", labelled(40))
    versions = []
    for _ in range(3):
        assert calibrate.main(["--labels", str(labels), "--bundle", str(bundle)]) == 0
        versions.append(OnnxScorer.load(bundle).calibration_version)
        assert f"drawn from the shipped fit, {json.loads(shipped)['version']}" in capsys.readouterr().out
    assert versions[0] == versions[1] == versions[2] != json.loads(shipped)["version"]
    assert (bundle / SHIPPED_FIT).read_bytes() == shipped
    assert SHIPPED_FIT in verify(bundle).files
    (bundle / SHIPPED_FIT).write_bytes(b"{}")
    assert calibrate.main(["--labels", str(labels), "--bundle", str(bundle)]) == 2
    assert f"{SHIPPED_FIT}: differs" in capsys.readouterr().err


def test_costs_that_were_changed_by_hand_outlast_a_refit(tmp_path: Path, bundle: Path) -> None:
    labels = write(tmp_path / "f.jsonl", labelled(40))
    path = bundle / "calibration.json"
    for costs in ({"global": {"wrong_sign": 5.0}}, {}):
        path.write_text(json.dumps({**json.loads(path.read_text()), "costs": costs}))
        write_manifest(bundle)
        assert calibrate.main(["--labels", str(labels), "--bundle", str(bundle)]) == 0
        found = OnnxScorer.load(bundle).calibration.costs
        assert {where: one.wrong_sign for where, one in found.items()} == dict.fromkeys(costs, 5.0)


def test_calibrate_dry_run_writes_nothing(tmp_path: Path, bundle: Path) -> None:
    before = (bundle / "calibration.json").read_bytes()
    labels = write(tmp_path / "f.jsonl", labelled(40))
    assert calibrate.main(["--labels", str(labels), "--bundle", str(bundle), "--dry-run"]) == 0
    assert (bundle / "calibration.json").read_bytes() == before
    assert not (bundle / SHIPPED_FIT).exists()


def test_what_a_refit_gains_is_measured_on_rows_it_did_not_see(shipped: OnnxScorer) -> None:
    dice = np.random.default_rng(0)
    logits = dice.normal(0, 3, (400, 3))
    truths = dice.integers(0, 3, 400)
    unlabelled = np.zeros((400, len(TAGS)))
    rows = LabelledLogits(logits, unlabelled, ["chat"] * 400, truths, unlabelled, unlabelled)
    old, new = calibrate.gain(rows, 0.7, shipped.calibration)
    seen = fit(rows, prior=shipped.calibration)
    applied = softmax(logits / seen.temperature["chat"])
    assert expected_error(applied, truths) != new < old


def test_calibrate_says_where_a_bundle_cannot_be_written(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "calibration.json")

    monkeypatch.setattr(calibrate, "_write", refuse)
    labels = write(tmp_path / "f.jsonl", labelled(20))
    assert calibrate.main(["--labels", str(labels), "--bundle", str(bundle)]) == 2
    assert "calibration.json" in capsys.readouterr().err


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
