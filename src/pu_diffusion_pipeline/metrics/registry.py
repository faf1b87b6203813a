"""The metrics of a run: where a record holds each one, and how tables and figures show it.

Every table, figure and report reads this list, so a new metric is one entry here. An entry with
`measure` is computed when samples are scored; the others are part of what `distances` and
`non_sensitive_rate` return.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pu_diffusion_pipeline.errors import InvalidInput

Record = Mapping[str, Any]  # a JSON document: metrics, a manifest, a class prior, a judge's report


class Evaluated(NamedTuple):
    """What the metrics of a method are computed from.

    Attributes:
        features: (N, D) float32, of the samples.
        reference: (M, D) float32, of real normal test images, by the same extractor.
        judgements: a row per sample: `predicted_class` and `judged_sensitive`.
    """

    features: np.ndarray
    reference: np.ndarray
    judgements: pd.DataFrame


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        path: its place in a run's record, such as `fidelity.recall`.
        name: for axes and titles.
        symbol: its short name.
        digits: format of a value, such as `.3f`.
        higher_is_better: direction.
        heading: of its column in tables for readers; empty: the symbol, with ↓ if lower is better.
        on_inception: its symbol on Inception features; empty: the same.
        related: further columns of tables, such as the ends of its interval, to their paths.
        counts: as `related`, in the table of methods only.
        tested: whether the summary has its mean, deviation and t-tests.
        is_main: whether the summary for readers and the figure over beta show it.
        paper_name: its name in `reports/paper_results.csv`; empty: the paper does not have it.
        paper_tables: numbers of the paper's tables that show it.
        measure: computes it; None: the record has it already.
    """

    path: str
    name: str
    symbol: str
    digits: str
    higher_is_better: bool
    heading: str = ""
    on_inception: str = ""
    related: Mapping[str, str] = field(default_factory=dict)
    counts: Mapping[str, str] = field(default_factory=dict)
    tested: bool = True
    is_main: bool = False
    paper_name: str = ""
    paper_tables: tuple[int, ...] = ()
    measure: Callable[[Evaluated], float] | None = None

    def symbol_on(self, extractor: str) -> str:
        """The symbol on the features of an extractor: FID is the name on Inception's only."""
        on_inception = extractor.startswith("inception") and self.on_inception
        return self.on_inception if on_inception else self.symbol

    def heading_on(self, extractor: str) -> str:
        """The heading of its column, on the features of an extractor."""
        return self.heading or self.symbol_on(extractor) + ("" if self.higher_is_better else " ↓")

    def text(self, value: Any) -> str:
        """A value for readers; `n/a` for a run that does not have it."""
        return "n/a" if value is None or pd.isna(value) else format(value, self.digits)


# Column of the tables to metric, in the order of the tables.
METRICS: dict[str, Metric] = {
    "nsr": Metric(
        path="non_sensitive_rate.value",
        name="non-sensitive rate",
        symbol="NSR",
        digits=".3f",
        higher_is_better=True,
        heading="non-sensitive rate",
        related={
            "nsr_low": "non_sensitive_rate.low",
            "nsr_high": "non_sensitive_rate.high",
            "nsr_corrected": "non_sensitive_rate.corrected",
        },
        counts={
            "num_normal": "non_sensitive_rate.num_normal",
            "num_samples": "non_sensitive_rate.num_samples",
        },
        is_main=True,
        paper_name="nsr",
        paper_tables=(2, 4),
    ),
    "distance": Metric(
        path="fidelity.frechet_distance",
        name="Frechet distance",
        symbol="FD",
        digits=".2f",
        higher_is_better=False,
        on_inception="FID",
        is_main=True,
        paper_name="fid",
        paper_tables=(3, 5),
    ),
    "kid": Metric("fidelity.kernel_distance", "kernel distance", "KID", ".3g", False),
    "precision": Metric("fidelity.precision", "precision", "precision", ".3f", True),
    "recall": Metric("fidelity.recall", "recall", "recall", ".3f", True),
}


def main_metrics() -> dict[str, Metric]:
    """Those in the summary for readers and in the figure over beta."""
    return {column: metric for column, metric in METRICS.items() if metric.is_main}


def metric_values(record: Record, *, counts: bool) -> dict[str, object]:
    """Every metric of a record by its column, each followed by its related columns.

    Args:
        record: what `score_samples` returned.
        counts: whether the columns of counts are wanted too.
    """
    paths: dict[str, str] = {}
    for column, metric in METRICS.items():
        paths |= {column: metric.path, **metric.related, **(metric.counts if counts else {})}
    return {column: value_at(record, path) for column, path in paths.items()}


def read_record(path: Path) -> Record:
    """The record of a run from its file.

    Raises:
        InvalidInput: the file is damaged.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InvalidInput(
            f"{path} is damaged ({error}); delete it and evaluate that run again"
        ) from error
    return record


def value_at(record: Record, path: str) -> object:
    """The value at a dotted path of a record; None in a record older than the metric."""
    value: object = record
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def measured_values(evaluated: Evaluated) -> dict[str, float]:
    """The values of the metrics that have a `measure`, by their path."""
    return {
        metric.path: metric.measure(evaluated)
        for metric in METRICS.values()
        if metric.measure is not None
    }
