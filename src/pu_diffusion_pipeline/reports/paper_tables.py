"""Tables 2-5 of the paper over several benchmarks: ours beside the published numbers."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from pu_diffusion_pipeline.methods import DEFAULT_METHODS
from pu_diffusion_pipeline.metrics.significance import Kind
from pu_diffusion_pipeline.reports.summary import caption, paper_judge_accuracy, paper_results
from pu_diffusion_pipeline.reports.tables import markdown_table

RATE_TABLES = (2, 4)  # of the non-sensitive rate; 3 and 5 are of the Frechet distance
FINETUNED_TABLES = (4, 5)


def table_of_rows(summaries: Mapping[str, pd.DataFrame], number: int) -> pd.DataFrame:
    """A row per benchmark, for every method our mean and standard deviation and the paper's.

    Args:
        summaries: benchmark to its `runs.summarize`; `attrs` hold its `paper_row` and the `beta` to show.
        number: of the table, 2 to 5.
    """
    metric, digits = ("nsr", 3) if number in RATE_TABLES else ("distance", 2)
    methods = (["pretrained"] if number in FINETUNED_TABLES else []) + list(DEFAULT_METHODS)
    published = paper_results()
    published = published[published["table"] == number].set_index(["row", "method"])
    rows = []
    for benchmark, summary in summaries.items():
        row = {"benchmark": benchmark}
        for method in methods:
            row[method] = _ours(summary, method, metric, digits)
            row[f"{method}, paper"] = _theirs(published, summary.attrs.get("paper_row"), method, digits)
        row["n"] = " / ".join(str(_n(summary, method)) for method in methods)
        theirs = paper_judge_accuracy(summary.attrs.get("paper_row"))
        row["judge's accuracy"] = f"{summary['judge_accuracy'].iloc[0]:.4f}"
        row["judge, paper"] = "–" if theirs is None else f"{theirs:.4f}"
        rows.append(row)
    return pd.DataFrame(rows)


def table_markdown(table: pd.DataFrame, number: int, kind: Kind, level: float) -> str:
    """The table as Markdown with its caption."""
    what = "Non-sensitive rate" if number in RATE_TABLES else "Frechet distance (the paper: FID, on Inception features)"
    how = "fine-tuned" if number in FINETUNED_TABLES else "trained from scratch"
    title = f"Table {number}: {what} of diffusion models {how}; n is the number of seeds of each method."
    return f"{title}\n\n{markdown_table(table)}\n\n{caption(kind, level)}\n"


def _line(summary: pd.DataFrame, method: str) -> Any:
    lines = summary[summary["method"] == method]
    beta = summary.attrs.get("beta")
    if lines["beta"].notna().any():
        lines = lines[lines["beta"].astype(str) == str(beta)]
    return None if lines.empty else lines.iloc[0]


def _ours(summary: pd.DataFrame, method: str, metric: str, digits: int) -> str:
    line = _line(summary, method)
    if line is None:
        return "n/a"
    sd = line[f"{metric}_sd"]
    text = f"{line[f'{metric}_mean']:.{digits}f}" + ("" if pd.isna(sd) else f" ± {sd:.{digits}f}")
    return f"**{text}**" if line[f"{metric}_bold"] else text


def _theirs(published: pd.DataFrame, row: str | None, method: str, digits: int) -> str:
    if (row, method) not in published.index:
        return "–"
    cell = published.loc[(row, method)]
    return f"{cell['mean']:.{digits}f} ± {cell['sd']:.3f}"


def _n(summary: pd.DataFrame, method: str) -> int:
    line = _line(summary, method)
    return 0 if line is None else int(line["n"])
