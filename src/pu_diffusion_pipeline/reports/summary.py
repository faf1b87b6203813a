"""The summary over seeds for readers, with the paper's published numbers beside ours."""

import io
from collections.abc import Iterable, Mapping
from importlib.resources import files

import pandas as pd

from pu_diffusion_pipeline.metrics.registry import Metric, main_metrics
from pu_diffusion_pipeline.reports.options import ReportingOptions
from pu_diffusion_pipeline.reports.text_table import TextTable, show_table

# Accuracy of the paper's judges on test images (Sec. 5.2), by the first word of the row's name.
PAPER_JUDGES = {"mnist": 0.9846, "cifar10": 0.958, "stl10": 0.995, "celeba": 0.9845}


def paper_results() -> pd.DataFrame:
    """Tables 2-5 of the paper: columns table, row, method, metric (nsr, fid), mean, sd."""
    text = files("pu_diffusion_pipeline.reports").joinpath("paper_results.csv").read_text()
    return pd.read_csv(io.StringIO(text))


def paper_judge_accuracy(paper_row: str | None) -> float | None:
    """Accuracy of the paper's judge for a row of its tables; None without one."""
    return PAPER_JUDGES.get((paper_row or "").partition("_")[0])


def published(paper_row: str | None, method: str, metric: Metric, number: int | None = None) -> str:
    """The paper's mean and deviation of a metric, or `–` where it has none.

    Args:
        paper_row: row of the paper's tables.
        method: its name.
        metric: what was measured.
        number: of the paper's table; None: whichever has the row.
    """
    table = paper_results()
    if number is not None:
        table = table[table["table"] == number]
    table = table.set_index(["row", "method", "metric"])
    place = (paper_row, method, metric.paper_name)
    if place not in table.index:
        return "–"
    mean, sd = table.loc[place, ["mean", "sd"]]
    return f"{metric.text(mean)} ± {sd:.3f}"


def mean_and_deviation(row: pd.Series, column: str, metric: Metric) -> str:
    """`mean ± standard deviation` of a row of the summary; the mean alone for a single run."""
    mean = metric.text(row[f"{column}_mean"])
    sd = row[f"{column}_sd"]
    return mean if pd.isna(sd) else f"{mean} ± {metric.text(sd)}"


def summary_table(summary: pd.DataFrame, paper_row: str | None) -> TextTable:
    """The summary's main metrics as text.

    Args:
        summary: `runs.summarize`.
        paper_row: the benchmark's row in the paper's Tables 2-5; its numbers stand beside ours.
    """
    rows = []
    bold = set()
    for number, (_, row) in enumerate(summary.iterrows()):
        cells = {"method": method_with_beta(row), "n": str(row["n"])}
        for column, metric in main_metrics().items():
            heading = metric.heading_on(row["extractor"])
            cells[heading] = mean_and_deviation(row, column, metric)
            cells[f"p {metric.symbol_on(row['extractor'])}"] = _p_value(row, column)
            if row[f"{column}_bold"]:
                bold.add((number, heading))
            if paper_row and metric.paper_name:
                title = f"paper {metric.paper_name.upper()}"
                cells[title] = published(paper_row, row["method"], metric)
        if summary["gap_closed"].notna().any():
            cells["gap closed"] = f"{100 * row['gap_closed']:.0f} %"
        rows.append(cells)
    return TextTable(pd.DataFrame(rows), frozenset(bold))


def method_with_beta(row: pd.Series) -> str:
    """The method, with beta and gamma if it uses them."""
    parts = [row["method"]]
    if not pd.isna(row["beta"]):
        parts.append(f"beta {row['beta']}")
    if not pd.isna(row["gamma"]):
        parts.append(f"gamma {row['gamma']:g}")
    return ", ".join(parts)


def _p_value(row: pd.Series, column: str) -> str:
    value, note = row[f"{column}_p"], row[f"{column}_note"]
    if note in ("best", "reference"):
        return note
    if pd.isna(value):
        return f"n/a ({note})"
    return f"{value:.3f}" if value >= 0.001 else f"{value:.1e}"


def summary_markdown(
    summary: pd.DataFrame,
    paper_row: str | None,
    options: ReportingOptions,
    missing: Iterable[str] = (),
    left_out: Mapping[str, Iterable[str]] | None = None,
) -> str:
    """The summary as Markdown, with what it is made from and what is missing.

    Args:
        summary: `runs.summarize`.
        paper_row: the benchmark's row in the paper's tables, if it has one.
        options: the t-test that was used.
        missing: commands that make the missing runs.
        left_out: `Selection.left_out`.
    """
    parts = [summary_table(summary, paper_row).to_markdown(), tests_caption(options)]
    if lines := [f"- `{command}`" for command in missing]:
        parts += ["Missing runs (with the same --params as this summary):", "\n".join(lines)]
    if left_out:
        lines = [f"- {run}: {', '.join(reasons)}" for run, reasons in left_out.items()]
        parts += ["Runs made with other parameters, not in the table:", "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def show_summary(summary: pd.DataFrame, paper_row: str | None) -> None:
    """Print the summary's main metrics to the terminal; arguments as for `summary_table`."""
    rows = summary_table(summary, paper_row).rows.replace(r"^n/a \(.*\)$", "n/a", regex=True)
    dispensable = [name for name in rows.columns if name.startswith(("p ", "paper "))]
    show_table(rows, "All finished runs with these parameters", dispensable)


def tests_caption(options: ReportingOptions) -> str:
    """What the columns of a summary mean."""
    paired = options.significance == "paired"
    test = "Paired t-test over common seeds" if paired else "Welch's t-test over seeds"
    return (
        f"Mean ± standard deviation (n - 1) over seeds. {test} against the best (p); bold: best, "
        f"or not different from it at {100 * options.level:g} %."
    )
