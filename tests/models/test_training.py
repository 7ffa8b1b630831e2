"""Training stack (collected where torch is installed): order by seed, masked losses, and the exported graph's faith."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper

import models.train as training
from models.distil import Judgement, judgement, kept_judgement, taught_loss
from models.graph import Arrays, Builder, Range, best_range, column_factors
from models.network import Network, Shape, load_averaged, pretrained_teacher
from models.scorer import TAGS
from models.sources import Example
from models.thaw import thawed
from models.train import Batch, OtherRun, Plan, Run, Schedule, masked_loss, passes, total_loss, train


def example(number: int, source: str = "corpus", **more: object) -> Example:
    return Example(text=f"text {number}", channel="chat", source=source, part="train", **more)  # type: ignore[arg-type]


def test_the_order_follows_from_the_seed() -> None:
    examples = [example(i) for i in range(200)]
    lengths = [i % 17 for i in range(200)]
    first, again, other = (Schedule(examples, lengths, 16, seed).round(0) for seed in (1, 1, 2))
    assert first == again != other


def test_a_resumed_schedule_goes_on_where_it_stopped() -> None:
    schedule = Schedule([example(i) for i in range(100)], [1] * 100, 8, 0)
    whole = schedule.batches(0)
    skipped = [next(whole) for _ in range(75)]
    assert next(schedule.batches(75)) == next(whole)
    assert len(skipped) > schedule.steps_per_round


def test_rare_tags_are_seen_more_often() -> None:
    weights = tuple(1.0 for _ in TAGS)
    rare = example(0, "goemotions", tag_targets=(1.0, *(0.0,) * 6), tag_weights=weights)
    assert passes(rare) > passes(example(1, "goemotions", tag_weights=weights))


def batch(sentiment: list[int], tag_weight: float) -> Batch:
    rows = len(sentiment)
    return Batch(
        ids=torch.ones(rows, 3, dtype=torch.long),
        mask=torch.ones(rows, 3, dtype=torch.long),
        sentiment=torch.tensor(sentiment),
        sentiment_weight=torch.ones(rows),
        tags=torch.zeros(rows, len(TAGS)),
        tag_weight=torch.full((rows, len(TAGS)), tag_weight),
    )


def test_what_is_not_annotated_has_no_gradient() -> None:
    sentiment = torch.randn(2, 3, requires_grad=True)
    tags = torch.randn(2, len(TAGS), requires_grad=True)
    masked_loss(sentiment, tags, batch([-1, 2], 0.0), 0.05).backward()
    assert sentiment.grad is not None
    assert tags.grad is not None
    assert not sentiment.grad[0].any()
    assert sentiment.grad[1].any()
    assert not tags.grad.any()


def small() -> tuple[Network, Arrays]:
    torch.manual_seed(0)
    network = Network(Shape(layers=3, vocabulary=50, positions=16)).eval()
    return network, {name: value.numpy() for name, value in network.state_dict().items()}


def test_the_float_graph_gives_what_was_trained() -> None:
    import onnxruntime

    network, weights = small()
    session = onnxruntime.InferenceSession(Builder(weights, 3, "exit", None).build().SerializeToString())
    ids = torch.tensor([[1, 5, 9, 2], [1, 7, 2, 0]])
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])
    with torch.no_grad():
        expected = network(ids, mask)[2:]
    found = session.run(None, {"input_ids": ids.numpy(), "attention_mask": mask.numpy()})
    for ours, theirs in zip(found, expected, strict=True):
        assert np.allclose(ours, theirs.numpy(), atol=1e-5)


def test_ranges_cover_what_they_were_measured_on() -> None:
    values = np.random.default_rng(0).normal(2, 1, 5000).astype(np.float32)
    found = best_range(values)
    back = (np.clip(np.rint(values / found.scale) + found.zero, 0, 255) - found.zero) * found.scale
    assert isinstance(found, Range)
    assert np.abs(back - values).mean() < 0.02


def test_factors_even_out_columns() -> None:
    factors = column_factors(np.array([100.0, 1.0], np.float32), np.ones((2, 4), np.float32))
    assert factors[0] > factors[1]
    assert np.isclose(np.prod(factors), 1.0, atol=1e-4)


def checkpoint(folder: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    path = folder / f"{seed}.pt"
    torch.save({"averaged": Network(Shape()).state_dict()}, path)
    return path


def test_teachers_judge_the_rows_that_are_wanted_once_and_in_the_mean(tmp_path: Path) -> None:
    teachers, ids = [checkpoint(tmp_path, 1), checkpoint(tmp_path, 2)], [[101, 2000, 102], [101, 102], [101, 5, 6, 102]]
    device = torch.device("cpu")
    alone = [judgement([teacher], ids, [0, 2], device) for teacher in teachers]
    both = kept_judgement(teachers, ids, [2, 0, 2], device, tmp_path)
    assert torch.allclose(both.sentiment, (alone[0].sentiment + alone[1].sentiment) / 2)
    assert torch.allclose(both.tags, (alone[0].tags + alone[1].tags) / 2)
    assert torch.allclose(both.of([0, 2]).sentiment.sum(-1), torch.ones(2))
    assert not both.sentiment[1].any()

    (kept,) = tmp_path.glob("taught-*.pt")
    torch.save({"sentiment": both.sentiment + 1, "tags": both.tags}, kept)
    assert torch.equal(kept_judgement(teachers, ids, [0, 2], device, tmp_path).sentiment, both.sentiment + 1)
    kept_judgement(teachers[:1], ids, [0, 2], device, tmp_path)
    assert len(list(tmp_path.glob("taught-*.pt"))) == 2


def test_to_agree_with_the_teachers_costs_least() -> None:
    sentiment, tags = torch.randn(4, 3), torch.randn(4, len(TAGS))
    taught = Judgement(sentiment.softmax(-1), tags.sigmoid())
    least = taught_loss(sentiment, tags, taught)
    assert least < taught_loss(sentiment + torch.tensor([0.3, 0.0, 0.0]), tags, taught)
    assert least < taught_loss(sentiment, tags + 0.3, taught)


def test_a_run_learns_from_labels_and_teachers_both() -> None:
    outputs = [torch.randn(2, 3), torch.randn(2, len(TAGS)), torch.randn(2, 3), torch.randn(2, len(TAGS))]
    agreeing, opposed = (Judgement((sign * outputs[0]).softmax(-1), (sign * outputs[1]).sigmoid()) for sign in (1, -1))
    losses = [
        float(total_loss(outputs, replace(batch([0, 2], 1.0), taught=taught), Plan())) for taught in (agreeing, opposed)
    ]
    assert losses[0] < losses[1]


def test_rows_that_no_teacher_was_asked_of_are_learned_from_their_labels_alone() -> None:
    outputs = [torch.randn(2, 3), torch.randn(2, len(TAGS)), torch.randn(2, 3), torch.randn(2, len(TAGS))]
    silent = Judgement(torch.zeros(2, 3), torch.zeros(2, len(TAGS)))
    untaught = batch([0, 2], 1.0)
    assert torch.equal(
        total_loss(outputs, replace(untaught, taught=silent), Plan()), total_loss(outputs, untaught, Plan())
    )


def test_teachers_are_not_asked_of_rows_that_we_labelled(tmp_path: Path) -> None:
    train([example(n, "corpus") for n in range(8)], replace(PLAN, teachers=(checkpoint(tmp_path, 1),)), tmp_path)
    (kept,) = tmp_path.glob("taught-*.pt")
    assert not torch.load(kept, weights_only=True)["sentiment"].any()


def test_a_finishing_run_asks_the_teachers_of_texts_remixed_from_our_rows(tmp_path: Path) -> None:
    rows = [example(n, "corpus") for n in range(8)]
    train(rows, replace(PLAN, finish=True, teachers=(checkpoint(tmp_path, 1),)), tmp_path)
    (kept,) = tmp_path.glob("taught-*.pt")
    judged = torch.load(kept, weights_only=True)["sentiment"].any(-1)
    assert len(judged) > len(rows)
    assert not judged[: len(rows)].any()
    assert judged[len(rows) :].any()


def test_weights_of_several_runs_are_averaged(tmp_path: Path) -> None:
    runs = [checkpoint(tmp_path, 3), checkpoint(tmp_path, 4)]
    mean, first, second = (load_averaged(*paths).state_dict() for paths in (runs, runs[:1], runs[1:]))
    name = "layers.0.up.weight"
    assert torch.allclose(mean[name], (first[name] + second[name]) / 2)


def test_a_deeper_encoder_is_read_from_its_export(tmp_path: Path) -> None:
    """Matrices have no name of their own there: the product that uses them has."""
    shape, dice = Shape(), np.random.default_rng(1)
    inner, outer = (shape.inner, shape.hidden), (shape.hidden, shape.hidden)
    matrices = {
        "attention/self/query": outer,
        "attention/self/key": outer,
        "attention/self/value": outer,
        "attention/output/dense": outer,
        "intermediate/dense": inner,
        "output/dense": (shape.hidden, shape.inner),
    }
    vectors = {
        "embeddings.word_embeddings.weight": (shape.vocabulary, shape.hidden),
        "embeddings.position_embeddings.weight": (shape.positions, shape.hidden),
        "embeddings.token_type_embeddings.weight": (2, shape.hidden),
        **{f"embeddings.LayerNorm.{end}": (shape.hidden,) for end in ("weight", "bias")},
    }
    nodes, stored = [], {}
    for layer in range(2):
        there = f"encoder.layer.{layer}"
        for name, (rows, columns) in matrices.items():
            stored[f"nameless_{layer}_{name}"] = (columns, rows)
            product = f"/encoder/layer.{layer}/{name}/MatMul"
            nodes.append(helper.make_node("MatMul", ["x", f"nameless_{layer}_{name}"], [product], name=product))
            vectors[f"{there}.{name.replace('/', '.')}.bias"] = (rows,)
        for norm in ("attention.output", "output"):
            vectors |= {f"{there}.{norm}.LayerNorm.{end}": (shape.hidden,) for end in ("weight", "bias")}
    arrays = {name: dice.normal(size=size).astype(np.float32) for name, size in {**stored, **vectors}.items()}
    tensors = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    onnx.save(helper.make_model(helper.make_graph(nodes, "bert", [], [], tensors)), tmp_path / "bert.onnx")

    state = pretrained_teacher(tmp_path / "bert.onnx").state_dict()

    assert not [name for name in state if name.startswith("layers.2.")]
    hidden, key = shape.hidden, arrays["nameless_1_attention/self/key"]
    assert np.array_equal(state["layers.1.qkv.weight"][hidden : 2 * hidden].numpy(), key.T)
    assert np.array_equal(state["layers.0.down.weight"].numpy(), arrays["nameless_0_output/dense"].T)
    assert np.array_equal(state["words.weight"].numpy(), arrays["embeddings.word_embeddings.weight"])


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = Shape(layers=2, hidden=24, heads=2, inner=48, exit_layer=1)
    monkeypatch.setattr(training, "starting_network", lambda plan: Network(shape))


PLAN = Plan(rounds=2.0, rows=4, checkpoint_seconds=-1.0, seed=3)
"""A checkpoint after every step."""
ROWS = [example(number, sentiment=number % 3) for number in range(8)]


@pytest.mark.usefixtures("tiny")
def test_a_run_that_was_stopped_ends_like_one_that_was_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train(ROWS, PLAN, tmp_path / "whole")
    step = Run.train_on

    def power_cut(run: Run, batch: Batch) -> None:
        if run.step == 7:
            raise KeyboardInterrupt
        step(run, batch)

    with monkeypatch.context() as patched:
        patched.setattr(Run, "train_on", power_cut)
        with pytest.raises(KeyboardInterrupt):
            train(ROWS, PLAN, tmp_path / "broken")
    resumed = train(ROWS, PLAN, tmp_path / "broken")
    assert resumed.step == whole.step == 20
    assert resumed.loss == whole.loss
    for part in ("network", "averaged"):
        ours, theirs = (getattr(run, part).state_dict() for run in (resumed, whole))
        assert all(torch.equal(values, theirs[name]) for name, values in ours.items())


@pytest.mark.usefixtures("tiny")
def test_a_checkpoint_of_other_arguments_data_or_files_is_refused(tmp_path: Path) -> None:
    teachers = (checkpoint(tmp_path, 5),)
    taught = replace(PLAN, teachers=teachers, rounds=0.2)
    train(ROWS, taught, tmp_path)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    relabelled = [replace(ROWS[0], sentiment=2), *ROWS[1:]]
    for rows, plan in ((ROWS, replace(taught, seed=4)), (ROWS[:7], taught), (relabelled, taught)):
        with pytest.raises(OtherRun, match=r"checkpoint\.pt: .* another --out, or remove it"):
            train(rows, plan, tmp_path)
    checkpoint(tmp_path, 6).replace(teachers[0])
    with pytest.raises(OtherRun):
        train(ROWS, taught, tmp_path)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


@pytest.mark.usefixtures("tiny")
def test_a_finished_run_is_left_as_it_is_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    short = replace(PLAN, rounds=0.2)
    train(ROWS, short, tmp_path)
    assert "finished" not in capsys.readouterr().err
    assert train(ROWS, replace(short, checkpoint_seconds=9.0), tmp_path).step == 2
    assert "checkpoint.pt: finished" in capsys.readouterr().err


@pytest.mark.usefixtures("tiny")
def test_a_checkpoint_that_does_not_say_what_it_is_of_begins_other_runs_only(tmp_path: Path) -> None:
    old = checkpoint(tmp_path, 8).rename(tmp_path / "checkpoint.pt")
    assert load_averaged(old).shape.layers == 6
    with pytest.raises(OtherRun, match="does not say"):
        train(ROWS, PLAN, tmp_path)


def test_a_bundle_becomes_the_network_again_from_which_it_was_made() -> None:
    torch.manual_seed(3)
    network = Network(Shape()).eval()
    with torch.no_grad():
        network.kind += 0.1
    weights = {name: values.numpy() for name, values in network.state_dict().items()}
    builder = Builder(weights, 6, "last", None)
    exact = builder.build()
    ranges = {
        x: Range(0.05, 128, np.linspace(0.5, 2.0, weights[f"{name}.weight"].shape[1]).astype(np.float32))
        for x, name in builder.products.items()
    }
    small = Builder(weights, 6, "last", ranges).build()
    ids = torch.tensor([[101, 2000, 3000, 102], [101, 2023, 102, 0]])
    with torch.no_grad():
        was, is_exact, is_near = (one(ids, (ids != 0).long())[0] for one in (network, thawed(exact), thawed(small)))
    assert torch.allclose(was, is_exact, atol=1e-5)
    assert not torch.equal(was, is_near)
    assert torch.allclose(was, is_near, atol=0.02)
