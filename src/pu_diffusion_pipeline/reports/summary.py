"""The summary over seeds as text, with the paper's published numbers beside ours."""

import io
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd

from pu_diffusion_pipeline.metrics.significance import Kind
from pu_diffusion_pipeline.reports.tables import markdown_table


def paper_results() -> pd.DataFrame:
    """Tables 2-5 of the paper: columns table, row (benchmark), method, metric (nsr, fid), mean, sd."""
    text = files("pu_diffusion_pipeline.reports").joinpath("paper_results.csv").read_text()
    return pd.read_csv(io.StringIO(text))


# Accuracy of the paper's judges on test images (Sec. 5.2), by the first word of the row's name.
PAPER_JUDGES = {"mnist": 0.9846, "cifar10": 0.958, "stl10": 0.995, "celeba": 0.9845}


def paper_judge_accuracy(row: str | None) -> float | None:
    """Accuracy of the paper's judge for a row of its tables; None without one."""
    return PAPER_JUDGES.get((row or "").partition("_")[0])


def describe(summary: pd.DataFrame, row: str | None) -> pd.DataFrame:
    """The summary as text, the paper's number beside ours where `row` (its row of Tables 2-5) is known."""
    published = paper_results()
    published = published[published["row"] == row].set_index(["method", "metric"]) if row else None
    lines = []
    for one in summary.itertuples():
        line = {"method": label(one), "n": str(one.n)}
        for metric, title, name, digits in (("nsr", "non-sensitive rate", "nsr", 3), ("distance", "FD ↓", "fid", 2)):
            mean, sd = getattr(one, f"{metric}_mean"), getattr(one, f"{metric}_sd")
            text = f"{mean:.{digits}f}" + ("" if pd.isna(sd) else f" ± {sd:.{digits}f}")
            line[title] = f"**{text}**" if getattr(one, f"{metric}_bold") else text
            p_value, note = getattr(one, f"{metric}_p"), getattr(one, f"{metric}_note")
            line["p NSR" if metric == "nsr" else "p FD"] = note if note in ("best", "reference") else _p(p_value, note)
            if published is not None:
                line[f"paper {name.upper()}"] = _published(published, one.method, name, digits)
        if summary["gap_closed"].notna().any():
            line["gap closed"] = f"{100 * one.gap_closed:.0f} %"
        lines.append(line)
    return pd.DataFrame(lines)


def label(row: Any) -> str:
    """Method with beta and gamma where it uses them."""
    parts = [row.method]
    if not pd.isna(row.beta):
        parts.append(f"beta {row.beta}")
    if not pd.isna(row.gamma):
        parts.append(f"gamma {row.gamma:g}")
    return ", ".join(parts)


def _p(value: float | None, note: str) -> str:
    if value is None or np.isnan(value):
        return f"n/a ({note})"
    return f"{value:.3f}" if value >= 0.001 else f"{value:.1e}"


def _published(table: pd.DataFrame, method: str, metric: str, digits: int) -> str:
    if (method, metric) not in table.index:
        return "–"
    cell = table.loc[(method, metric)]
    return f"{cell['mean']:.{digits}f} ± {cell['sd']:.3f}"


def summary_markdown(
    summary: pd.DataFrame,
    *,
    row: str | None,
    kind: Kind,
    level: float,
    missing: Iterable[str] = (),
    left_out: Mapping[str, list[str]] | None = None,
) -> str:
    """The summary as Markdown, with what it rests on and what is missing.

    Args:
        summary: `summarize`'s table.
        row: the benchmark's row in the paper's tables, if it has one.
        kind: the t-test that was used.
        level: its level.
        missing: commands that make the missing runs.
        left_out: `Selection.left_out`.
    """
    parts = [markdown_table(describe(summary, row)), "", caption(kind, level)]
    if missing := list(missing):
        parts += [
            "",
            "Missing runs (with the same --params as this summary):",
            "",
            *(f"- `{line}`" for line in missing),
        ]
    if left_out:
        parts += ["", "Runs made with other parameters, not in the table:", ""]
        parts += [f"- {name}: {', '.join(reasons)}" for name, reasons in left_out.items()]
    return "\n".join(parts) + "\n"


def caption(kind: Kind, level: float) -> str:
    """What the columns mean."""
    test = "Paired t-test over common seeds" if kind == "paired" else "Welch's t-test over seeds"
    return (
        f"Mean ± standard deviation (n - 1) over seeds. {test} against the best (p); bold: best, or not different "
        f"from it at {100 * level:g} %."
    )
