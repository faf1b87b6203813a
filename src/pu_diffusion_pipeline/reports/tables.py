"""The table of methods: one row each, for the terminal, CSV and Markdown."""

from collections.abc import Iterable, Mapping

import pandas as pd

from pu_diffusion_pipeline.metrics.estimated_rate import HOW
from pu_diffusion_pipeline.metrics.registry import METRICS, Record, main_metrics, metric_values
from pu_diffusion_pipeline.reports.text_table import markdown_table, show_table

# What must be equal between runs of one table although no parameter names it.
PROTOCOL = (
    "extractor",
    "weights_digest",
    "num_samples",
    "num_reference",
    "kid_subsets",
    "kid_subset_size",
    "neighborhood",
)
BY_CLASS = (
    "Non-sensitive rate among the samples of each requested class; in brackets the share that the "
    "judge assigns to that class."
)


ESTIMATED = " (estimated, no labels)"
# Where the terminal is narrow; the files have all.
DISPENSABLE = ("KID ↓", "normal / samples", "corrected", "recall", "precision")


def run_row(record: Record, run: str = "", *, counts: bool = False) -> dict[str, object]:
    """The record of a run as a flat row.

    Args:
        record: what `score_samples` returned.
        run: the run's name.
        counts: whether the columns of counts are wanted too.

    Returns:
        Column to value. `beta` is what was asked for (a number or `estimated`), `beta_value` the
        number that was used.
    """
    judge, training = record["non_sensitive_rate"]["judge"], record["training"]
    beta = training["beta"]
    return {
        "run": run,
        "method": record["method"],
        "beta": record["settings"].get("beta"),
        "beta_value": None if beta is None else beta["value"],
        "gamma": record["settings"].get("objective.gamma"),
        "seed": record["settings"]["seed"],
        **metric_values(record, counts=counts),
        "train_steps": training["num_steps"],
        "train_seconds": training["seconds"],
        "judge_digest": judge.get("weights_digest", judge.get("scores_digest")),
        "judge_accuracy": judge.get("accuracy"),
        "is_estimated": is_estimated(record),
        **{name: record["fidelity"][name] for name in PROTOCOL},
    }


def is_estimated(record: Record) -> bool:
    """Whether the rate is an estimate, made without labels, instead of a judge's count."""
    return record["non_sensitive_rate"].get("how") == HOW


def has_labels(record: Record) -> bool:
    """Whether labels say how often the judge errs."""
    return "accuracy" in record["non_sensitive_rate"]["judge"]


def comparison_table(records: Iterable[Record]) -> pd.DataFrame:
    """A row per method.

    Args:
        records: what `score_samples` returned for each method.

    Returns:
        Columns method, beta (the number that was used), seed, every metric with its interval and
        counts, the extractor of the features, training steps and seconds, and whether the rate is
        estimated without labels.
    """
    records = list(records)
    table = pd.DataFrame([run_row(record, counts=True) for record in records])
    table["beta"] = table["beta_value"]
    metrics = metric_values(records[0], counts=True)
    rest = ["extractor", "train_steps", "train_seconds", "is_estimated"]
    return table[["method", "beta", "seed", *metrics, *rest]]


def per_condition_table(records: Iterable[Record]) -> pd.DataFrame | None:
    """The rate among the samples of each requested class (Eq. 20).

    Returns:
        A row per method, as text: the rate and, in brackets, the share that the judge assigns to
        the requested class. None if all samples are unconditional.
    """
    rows = [
        {"method": record["method"], **_by_condition(record["per_condition"])}
        for record in records
        if record.get("per_condition")
    ]
    return pd.DataFrame(rows) if rows else None


def _by_condition(found: Mapping[str, Mapping[str, float]]) -> dict[str, str]:
    return {
        f"asked for {name}": f"{one['value']:.3f} ({one['as_asked']:.3f})"
        for name, one in found.items()
    }


def formatted(table: pd.DataFrame) -> pd.DataFrame:
    """The table of methods as text, without what is only for machines."""
    extractor = str(table["extractor"].iloc[0])
    text: dict[str, list[str]] = {
        "method": list(table["method"]),
        "beta": ["–" if pd.isna(beta) else f"{beta:.4g}" for beta in table["beta"]],
    }
    for column, metric in METRICS.items():
        heading = metric.heading_on(extractor)
        if column == "nsr" and table["is_estimated"].any():
            heading += ESTIMATED
        text[heading] = [metric.text(value) for value in table[column]]
        if column == "nsr":
            text |= _rate_details(table)
    text["training"] = [f"{seconds:.0f} s" for seconds in table["train_seconds"]]
    return pd.DataFrame(text)


def _rate_details(table: pd.DataFrame) -> dict[str, list[str]]:
    rows = table.to_dict("records")
    text = METRICS["nsr"].text
    interval = {
        "95 % interval": [f"{text(row['nsr_low'])} – {text(row['nsr_high'])}" for row in rows]
    }
    if table["is_estimated"].any():  # then nobody has counted
        return interval
    return {
        **interval,
        "normal / samples": [f"{row['num_normal']} / {row['num_samples']}" for row in rows],
        "corrected": [text(row["nsr_corrected"]) for row in rows],
    }


def comparison_markdown(table: pd.DataFrame, by_class: pd.DataFrame | None = None) -> str:
    """The table of methods as Markdown.

    Args:
        table: `comparison_table`.
        by_class: `per_condition_table`.
    """
    extractor = table["extractor"].iloc[0]
    text = f"{markdown_table(formatted(table))}\n\nDistances on features of: {extractor}.\n"
    if by_class is not None:
        text += f"\n{BY_CLASS}\n\n{markdown_table(by_class)}\n"
    return text


def show_comparison(table: pd.DataFrame, title: str) -> None:
    """Print the formatted table to the terminal."""
    text = formatted(table).drop(columns=["training"])
    title = f"{title}: higher non-sensitive rate and lower distances are better"
    show_table(text, title, DISPENSABLE)


def result_line(record: Record) -> str:
    """The main metrics of a method's samples: `pu: NSR 0.947 (0.936 – 0.956), FD 41.84`."""
    values = metric_values(record, counts=False)
    low, high = (METRICS["nsr"].text(values[end]) for end in ("nsr_low", "nsr_high"))
    after = {"nsr": f" ({low} – {high}){ESTIMATED * is_estimated(record)}"}
    extractor = record["fidelity"]["extractor"]
    said = [
        f"{metric.symbol_on(extractor)} {metric.text(values[column])}{after.get(column, '')}"
        for column, metric in main_metrics().items()
    ]
    return f"{record['method']}: {', '.join(said)}"


def methods_table(methods: Mapping[str, float]) -> pd.DataFrame:
    """Estimates of the class prior: columns method, estimate, source, kind.

    Args:
        methods: estimator to its estimate.
    """
    from pu_diffusion_pipeline.positive_unlabeled.estimators import ESTIMATORS

    rows = []
    for name, value in methods.items():
        kind = "default" if name == "bbe_ratio" else "check"
        if ESTIMATORS[name].is_baseline:
            kind = "baseline"
        source = ESTIMATORS[name].source
        rows.append({"method": name, "estimate": value, "source": source, "kind": kind})
    return pd.DataFrame(rows, columns=["method", "estimate", "source", "kind"])
