"""Soft labels: probabilities that teacher networks give to training rows, learned besides the labels (needs torch).

A deeper network, or the mean of several, judges better than a student that learns from hard labels alone. Its
probabilities also cover labels that a source did not annotate (Hinton and others, 2015, Distilling the knowledge in
a neural network). They are computed once, before the run, for the rows that the run will see, and kept in its folder.
"""

import hashlib
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from models.labels import SENTIMENTS, TAGS
from models.network import PAD, load_averaged, pad

ROWS = 64


@dataclass(frozen=True)
class Judgement:
    """The teachers' probabilities of sentiments [rows, 3] and of tags [rows, 7]; 0 in rows that they did not judge."""

    sentiment: Tensor
    tags: Tensor

    def of(self, rows: Sequence[int]) -> "Judgement":
        """The probabilities of these rows."""
        return Judgement(self.sentiment[rows], self.tags[rows])

    def judged(self) -> Tensor:
        """1 for each row that the teachers judged, else 0: [rows]."""
        return (self.sentiment.sum(-1) > 0).float()


def taught_loss(sentiment: Tensor, tags: Tensor, taught: Judgement) -> Tensor:
    """Mean divergence of logits [rows, 3] and [rows, 7] from the teachers' probabilities; 0 for rows not judged."""
    each = F.kl_div(sentiment.log_softmax(-1), taught.sentiment, reduction="none").sum(-1)
    each_tag = F.binary_cross_entropy_with_logits(tags, taught.tags, reduction="none").mean(-1)
    return ((each + 2.0 * each_tag) * taught.judged()).mean()


def judgement(
    teachers: Sequence[Path],
    ids: Sequence[list[int]],
    wanted: Iterable[int],
    device: torch.device,
    *,
    bf16: bool = False,
) -> Judgement:
    """The mean probabilities that `teachers` give to the `wanted` rows; progress goes to standard error."""
    networks = [load_averaged(teacher).to(device) for teacher in teachers]
    order = sorted(set(wanted), key=lambda row: len(ids[row]))
    taught = Judgement(torch.zeros(len(ids), len(SENTIMENTS)), torch.zeros(len(ids), len(TAGS)))
    for start in range(0, len(order), ROWS):
        rows = order[start : start + ROWS]
        padded = pad(ids, rows, device)
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            given = [network(padded, (padded != PAD).long())[:2] for network in networks]
        taught.sentiment[rows] = torch.stack([sentiment.float().softmax(-1) for sentiment, _ in given]).mean(0).cpu()
        taught.tags[rows] = torch.stack([tags.float().sigmoid() for _, tags in given]).mean(0).cpu()
        if start // ROWS % 100 == 0:
            print(f"teachers: {start} of {len(order)} rows", file=sys.stderr, flush=True)
    return taught


def kept_judgement(
    teachers: Sequence[Path],
    ids: Sequence[list[int]],
    wanted: Iterable[int],
    device: torch.device,
    folder: Path,
    *,
    bf16: bool = False,
) -> Judgement:
    """`judgement`, stored in `folder` and read from there when the same teachers and rows are asked for again."""
    rows = sorted(set(wanted))
    of = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in teachers]
    key = hashlib.sha256(repr((of, [(row, ids[row]) for row in rows])).encode()).hexdigest()[:16]
    path = folder / f"taught-{key}.pt"
    if not path.exists():
        taught = judgement(teachers, ids, rows, device, bf16=bf16)
        torch.save({"sentiment": taught.sentiment, "tags": taught.tags}, path.with_suffix(".partial"))
        os.replace(path.with_suffix(".partial"), path)
    return Judgement(**torch.load(path, map_location=device, weights_only=True))
