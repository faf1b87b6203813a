"""Tables 2-5 of the paper over several benchmarks: ours beside the published numbers."""

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from pu_diffusion_pipeline.diffusion.methods import DEFAULT_METHODS
from pu_diffusion_pipeline.metrics.registry import METRICS, Metric
from pu_diffusion_pipeline.reports.options import ReportingOptions
from pu_diffusion_pipeline.reports.summary import (
    mean_and_deviation,
    paper_judge_accuracy,
    published,
    tests_caption,
)
from pu_diffusion_pipeline.reports.text_table import TextTable

FINETUNED_TABLES = (4, 5)


class BenchmarkSummary(NamedTuple):
    """A row of the table.

    Attributes:
        benchmark: its name.
        summary: `runs.summarize`.
        paper_row: its row in the paper's tables, if it has one.
        beta: the beta whose runs are shown.
    """

    benchmark: str
    summary: pd.DataFrame
    paper_row: str | None
    beta: float | str

    def row_of(self, method: str) -> pd.Series | None:
        """The summary of a method at the beta that is shown; None without finished runs."""
        rows = self.summary[self.summary["method"] == method]
        if rows["beta"].notna().any():
            rows = rows[rows["beta"].astype(str) == str(self.beta)]
        return None if rows.empty else rows.iloc[0]


def paper_table(
    summaries: Sequence[BenchmarkSummary], number: int, options: ReportingOptions
) -> TextTable:
    """A row per benchmark, for every method our mean and standard deviation and the paper's.

    Args:
        summaries: the rows.
        number: of the table, 2 to 5.
        options: the t-test that was used.
    """
    column, metric = _metric_of(number)
    is_finetuned = number in FINETUNED_TABLES
    methods = [*(["pretrained"] if is_finetuned else []), *DEFAULT_METHODS]
    rows = []
    bold = set()
    for place, one in enumerate(summaries):
        rows.append(_row(one, methods, number))
        for method in methods:
            ours = one.row_of(method)
            if ours is not None and ours[f"{column}_bold"]:
                bold.add((place, method))
    how = "fine-tuned" if is_finetuned else "trained from scratch"
    title = (
        f"Table {number}: {_described(metric)} of diffusion models {how}; "
        "n is the number of seeds of each method."
    )
    return TextTable(pd.DataFrame(rows), frozenset(bold), title, tests_caption(options))


def _metric_of(number: int) -> tuple[str, Metric]:
    return next(item for item in METRICS.items() if number in item[1].paper_tables)


def _described(metric: Metric) -> str:
    name = metric.name[0].upper() + metric.name[1:]
    if not metric.on_inception:
        return name
    return f"{name} (the paper: {metric.on_inception}, on Inception features)"


def _row(one: BenchmarkSummary, methods: Sequence[str], number: int) -> dict[str, str]:
    column, metric = _metric_of(number)
    row = {"benchmark": one.benchmark}
    counts = []
    for method in methods:
        ours = one.row_of(method)
        row[method] = "n/a" if ours is None else mean_and_deviation(ours, column, metric)
        row[f"{method}, paper"] = published(one.paper_row, method, metric, number)
        counts.append("0" if ours is None else str(ours["n"]))
    row["n"] = " / ".join(counts)
    theirs = paper_judge_accuracy(one.paper_row)
    row["judge's accuracy"] = f"{one.summary['judge_accuracy'].iloc[0]:.4f}"
    row["judge, paper"] = "–" if theirs is None else f"{theirs:.4f}"
    return row
