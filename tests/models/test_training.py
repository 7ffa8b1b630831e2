"""Training stack (collected where torch is installed): order by seed, masked losses, and the exported graph's faith."""

import numpy as np
import torch

from models.graph import Arrays, Builder, Range, best_range, column_factors
from models.network import Network, Shape
from models.scorer import TAGS
from models.sources import Example
from models.train import Batch, Schedule, masked_loss, passes


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
