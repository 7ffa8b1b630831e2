"""The result tables of `MODEL_CARD.md`, made from `evaluation.json` so that the two cannot disagree."""

from pathlib import Path
from typing import NamedTuple

import msgspec

from models.evaluate import Block
from models.labels import CHANNELS, TAGS
from models.sources import OWN_LABELS

TWEETS = "semeval_twitter_2013_2016"
TICKETS = ("se_github", "se_jira", "senti4sd")
LEAST_AUC_SHARED = {"satisfaction": 0.95, "anger": 0.90, "frustration": 0.85, "confusion": 0.90}
LEAST_AUC_CORPUS = {"urgency": 0.90, "sarcasm": 0.85}
START, END = "<!-- results: written by python -m models.report -->", "<!-- end of results -->"


def _interval(pair: tuple[float, float]) -> str:
    return f"{pair[0]:.3f}-{pair[1]:.3f}"


class Demand(NamedTuple):
    """A measured figure, the limit that was asked for, and whether the figure meets it."""

    what: str
    measured: float
    asked: str
    met: bool


def demands(made: Block) -> list[Demand]:
    """All demands on the model, compared with the figures of an evaluation."""
    sources, channels = made["sentiment"]["sources"], made["sentiment"]["channels"]
    shared, corpus = made["tags"]["shared"], made["tags"]["corpus"]
    gained = channels["all"]["kept_accuracy"] - channels["all"]["accuracy"]
    at_least = [
        ("macro recall, tweets", sources[TWEETS]["macro_recall"], 0.73),
        ("macro-F1, surveys", channels["survey"]["macro_f1"], 0.68),
        *((f"macro-F1, tickets ({name})", sources[name]["macro_f1"], 0.83) for name in TICKETS),
        ("macro recall, own corpus", sources["corpus"]["macro_recall"], 0.80),
        ("accuracy, unseen list", made["unseen"]["accuracy"], 0.80),
        *((f"AUC, {tag}, shared", shared[tag]["auc"], least) for tag, least in LEAST_AUC_SHARED.items()),
        *((f"AUC, {tag}, corpus", corpus[tag]["auc"], least) for tag, least in LEAST_AUC_CORPUS.items()),
        ("accuracy gained by abstaining from a tenth", gained, 0.03),
    ]
    at_most = [
        ("wrong sign, own corpus", sources["corpus"]["wrong_sign"], 0.03),
        ("wrong sign, unseen list", made["unseen"]["wrong_sign"], 0.03),
        *((f"task talk alarmed, {name}", block["flagged_share"], 0.03) for name, block in made["task_talk"].items()),
        *((f"calibration error, {name}", channels[name]["calibration_error"], 0.04) for name in CHANNELS),
        ("labels that int8 flips", made["agreement_with_float"]["label_flips"], 0.015),
    ]
    return [
        *(Demand(what, value, f">= {limit:.3f}", value >= limit) for what, value, limit in at_least),
        *(Demand(what, value, f"<= {limit:.3f}", value <= limit) for what, value, limit in at_most),
    ]


def _demands_table(made: Block) -> list[str]:
    lines = ["| what | measured | asked for | |", "| --- | --- | --- | --- |"]
    return lines + [
        f"| {one.what} | {one.measured:.3f} | {one.asked} | {'' if one.met else 'missed'} |" for one in demands(made)
    ]


def _sentiment_table(blocks: Block, title: str) -> list[str]:
    lines = [
        f"| {title} | rows | macro recall (95 %) | macro-F1 | accuracy | accuracy when not abstaining (kept) "
        "| calibration error (of pure chance) | wrong sign |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, b in blocks.items():
        lines.append(
            f"| {name} | {b['rows']} | {b['macro_recall']:.3f} ({_interval(b['macro_recall_interval'])}) "
            f"| {b['macro_f1']:.3f} | {b['accuracy']:.3f} | {b['kept_accuracy']:.3f} ({b['kept_share']:.0%}) "
            f"| {b['calibration_error']:.3f} ({b['calibration_error_by_chance']:.3f}) | {b['wrong_sign']:.1%} |"
        )
    return lines


def _beside_vader(made: Block) -> list[str]:
    lines = [
        "| source | macro-F1 | macro-F1 of VADER | wrong sign | wrong sign of VADER |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, theirs in made["vader"].items():
        ours = made["sentiment"]["sources"][name]
        lines.append(
            f"| {name} | {ours['macro_f1']:.3f} | {theirs['macro_f1']:.3f} "
            f"| {ours['wrong_sign']:.1%} | {theirs['wrong_sign']:.1%} |"
        )
    return lines


def _tag_table(tags: Block) -> list[str]:
    lines = [
        "| tag | rows | AUC (95 %) | average precision (95 %) | precision of the flag (95 %) | recall of the flag |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for group in ("shared", *OWN_LABELS.values()):
        for tag in TAGS:
            b = tags[group].get(tag)
            if b:
                lines.append(
                    f"| {tag}, {group} | {b['rows']} ({b['positives']} positive) "
                    f"| {b['auc']:.3f} ({_interval(b['auc_interval'])}) "
                    f"| {b['average_precision']:.3f} ({_interval(b['average_precision_interval'])}) "
                    f"| {b['flag_precision'] or 0:.3f} ({_interval(b['flag_precision_interval'])}) "
                    f"| {b['flag_recall'] or 0:.3f} |"
                )
    return lines


def _unseen(b: Block) -> str:
    low, high = b["wrong_sign_interval"]
    return (
        f"Of {b['rows']} utterances {b['accuracy']:.3f} are right (95 %: {_interval(b['accuracy_interval'])}) and "
        f"{b['wrong_sign']:.1%} have the wrong sign ({low:.1%}-{high:.1%}); macro recall {b['macro_recall']:.3f}."
    )


def _labels_table(made: Block) -> list[str]:
    """What choosing labels by their cost changes, beside the most probable label of the same probabilities."""
    lines = [
        "| label | tweets: macro recall, wrong sign | own corpus | unseen list |",
        "| --- | --- | --- | --- |",
    ]
    for name, block in (("the least costly (shipped)", made), ("the most probable", made["most_probable"])):
        sources = block["sentiment"]["sources"]
        cells = [
            f"{b['macro_recall']:.3f}, {b['wrong_sign']:.1%}"
            for b in (sources[TWEETS], sources["corpus"], block["unseen"])
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _students(made: Block) -> list[str]:
    speeds = made["speed"]["messages_per_second_per_core"]
    rows = [
        ("shipped: 6 layers", made["most_probable"]["sentiment"], speeds["shipped"]),
        ("early exit: 3 layers", made["exit_student"]["sentiment"], speeds["exit_student"]),
    ]
    lines = [
        "| student | macro recall, tweets | macro recall, own corpus | messages/s/core |",
        "| --- | --- | --- | --- |",
    ]
    for name, sentiment, rate in rows:
        sources = sentiment["sources"]
        lines.append(
            f"| {name} | {sources[TWEETS]['macro_recall']:.3f} | {sources['corpus']['macro_recall']:.3f} | {rate:.0f} |"
        )
    lines.append(f"| plain MiniLM-L6, dynamic int8 | - | - | {speeds['plain_minilm_l6_int8']:.0f} |")
    return lines


def results(made: Block) -> str:
    """All tables as Markdown."""
    proof, speed, talk = made["agreement_with_float"], made["speed"], made["task_talk"]
    quantiles = ", ".join(f"{q} %: {n}" for q, n in speed["tokens_quantiles"].items())
    parts = [
        f"Model `{made['model_version']}`, calibration `{made['calibration_version']}`.",
        "### Asked for, and measured",
        "\n".join(_demands_table(made)),
        "### Sentiment by channel",
        "\n".join(_sentiment_table(made["sentiment"]["channels"], "channel")),
        "### Sentiment by source",
        "\n".join(_sentiment_table(made["sentiment"]["sources"], "source")),
        "### The least costly label and the most probable",
        "\n".join(_labels_table(made)),
        "### Beside a word list (VADER) on the same rows",
        "\n".join(_beside_vader(made)),
        f"### Tags (flags chosen for a precision of {made['precision_target']:.2f})",
        "\n".join(_tag_table(made["tags"])),
        "### Plain task talk",
        "\n".join(
            f"- {name}: {b['flagged_share']:.1%} of {b['rows']} requests, questions and confirmations were called "
            f"negative or got a negative tag (95 %: {b['interval'][0]:.1%}-{b['interval'][1]:.1%})."
            for name, b in talk.items()
        ),
        "### A list that nothing was trained on (`models/corpus/unseen`)",
        _unseen(made["unseen"]),
        "### Int8 against float",
        f"On {proof['texts']} held-out texts: probabilities of sentiment differ by "
        f"{proof['sentiment_mean_difference']:.4f} on average and {proof['sentiment_max_difference']:.3f} at most, "
        f"those of tags by {proof['tags_mean_difference']:.4f} and {proof['tags_max_difference']:.3f}; "
        f"{proof['label_flips']:.2%} of labels and {proof['tag_flips']:.2%} of tag "
        f"decisions at one half flip. The bundle has {made['bundle_bytes'] / 1e6:.1f} MB.",
        "### Speed",
        f"CPU time of one thread, {speed['texts']} texts tokenised beforehand, in chunks of like length; mean "
        f"{speed['tokens_mean']} tokens ({quantiles}). Macro recall here is of the most probable labels.",
        "\n".join(_students(made)),
    ]
    return "\n\n".join(parts)


def update_card(bundle: Path) -> None:
    """Write the tables of the bundle's `evaluation.json` into its model card, between `START` and `END`."""
    path = bundle / "MODEL_CARD.md"
    made = msgspec.json.decode((bundle / "evaluation.json").read_bytes())
    before, _, rest = path.read_text(encoding="utf-8").partition(START)
    after = rest.partition(END)[2]
    path.write_text(f"{before}{START}\n\n{results(made)}\n\n{END}{after}", encoding="utf-8")
