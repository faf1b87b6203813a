"""The table of methods: one row each, for the terminal, CSV and Markdown."""

from collections.abc import Iterable
from typing import Any

import pandas as pd


def comparison_table(metrics: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """A row per method from the records of `score_samples`.

    Returns:
        Columns method, beta, seed, the non-sensitive rate with its 95 % interval, counts and corrected value, the
        Frechet distance (`fd`; `fid` on Inception features), KID, precision, recall, training seconds and steps.
    """
    return pd.DataFrame([_row(record) for record in metrics])


def _row(record: dict[str, Any]) -> dict[str, Any]:
    rate, fidelity, training = record["non_sensitive_rate"], record["fidelity"], record["training"]
    beta = training["beta"]
    return {
        "method": record["method"],
        "beta": None if beta is None else beta["value"],
        "seed": training["seed"],
        "nsr": rate["value"],
        "nsr_low": rate["low"],
        "nsr_high": rate["high"],
        "nsr_corrected": rate["corrected"],
        "num_normal": rate["num_normal"],
        "num_samples": rate["num_samples"],
        distance_name(fidelity["extractor"]): fidelity["frechet_distance"],
        "kid": fidelity["kernel_distance"],
        "precision": fidelity["precision"],
        "recall": fidelity["recall"],
        "extractor": fidelity["extractor"],
        "train_steps": training["num_steps"],
        "train_seconds": training["seconds"],
    }


def per_condition_table(metrics: Iterable[dict[str, Any]]) -> pd.DataFrame | None:
    """The rate among the samples that were asked to show each class (Eq. 20); None if all sampling was unconditional.

    Returns:
        A row per method: the rate and, in brackets, the share in which the judge sees the class asked for; as text.
    """
    rows = [
        {
            "method": record["method"],
            **{f"asked for {name}": f"{one['value']:.3f} ({one['as_asked']:.3f})" for name, one in found.items()},
        }
        for record in metrics
        if (found := record.get("per_condition"))
    ]
    return pd.DataFrame(rows) if rows else None


def distance_name(extractor: str) -> str:
    """The Frechet distance is called FID on Inception features only."""
    return "fid" if extractor.startswith("inception") else "fd"


def formatted(table: pd.DataFrame) -> pd.DataFrame:
    """The columns people compare, as text."""
    distance = "fid" if "fid" in table else "fd"
    return pd.DataFrame(
        {
            "method": table["method"],
            "beta": ["–" if pd.isna(beta) else f"{beta:.4g}" for beta in table["beta"]],
            "non-sensitive rate": [f"{value:.3f}" for value in table["nsr"]],
            "95 % interval": [
                f"{low:.3f} – {high:.3f}" for low, high in zip(table["nsr_low"], table["nsr_high"], strict=True)
            ],
            "normal / samples": [
                f"{normal} / {total}" for normal, total in zip(table["num_normal"], table["num_samples"], strict=True)
            ],
            "corrected": ["n/a" if pd.isna(value) else f"{value:.3f}" for value in table["nsr_corrected"]],
            f"{distance.upper()} ↓": [f"{value:.2f}" for value in table[distance]],
            "KID ↓": [f"{value:.3g}" for value in table["kid"]],
            "precision": [f"{value:.3f}" for value in table["precision"]],
            "recall": [f"{value:.3f}" for value in table["recall"]],
            "training": [f"{seconds:.0f} s" for seconds in table["train_seconds"]],
        }
    )


def to_markdown(table: pd.DataFrame) -> str:
    """The formatted table as Markdown, with the feature extractor named below."""
    return f"{markdown_table(formatted(table))}\n\nDistances on features of: {table['extractor'].iloc[0]}.\n"


def markdown_table(text: pd.DataFrame) -> str:
    """A table of text as Markdown."""
    lines = [text.columns, ["---"] * len(text.columns), *text.itertuples(index=False)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def show_comparison(table: pd.DataFrame, title: str) -> None:
    """Print the formatted table to the terminal."""
    import rich
    from rich.table import Table

    text = formatted(table).drop(columns=["training"])
    shown = Table(title=f"{title}: higher non-sensitive rate and lower distances are better")
    for column in text.columns:
        shown.add_column(column, justify="left" if column == "method" else "right", no_wrap=True)
    for row in text.itertuples(index=False):
        shown.add_row(*row)
    console = rich.get_console()
    width = max(console.width, 140) if not console.is_terminal else None
    console.print(shown, width=width, soft_wrap=True)


def methods_table(methods: dict[str, float]) -> pd.DataFrame:
    """Estimators of the class prior by name: columns method, estimate, source, kind."""
    from pu_diffusion_pipeline.positive_unlabeled.estimators import ESTIMATORS

    return pd.DataFrame(
        [
            {
                "method": name,
                "estimate": value,
                "source": ESTIMATORS[name].source,
                "kind": "baseline" if ESTIMATORS[name].is_baseline else "default" if name == "bbe_ratio" else "check",
            }
            for name, value in methods.items()
        ],
        columns=["method", "estimate", "source", "kind"],
    )
