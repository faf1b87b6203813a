"""All finished runs of a benchmark: which stand in one table, means over seeds, tests, gaps."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import pandas as pd

from pu_diffusion_pipeline.diffusion.methods import METHODS
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.metrics.registry import METRICS, Metric, Record, main_metrics
from pu_diffusion_pipeline.metrics.significance import against_best, best_or_equal
from pu_diffusion_pipeline.reports.options import ReportingOptions
from pu_diffusion_pipeline.reports.tables import PROTOCOL, run_row

# Parameters that may differ between runs of one table: each has a column.
VARIES = ("seed", "beta", "objective.gamma")
Key = tuple[object, ...]  # method, beta and gamma
Groups = Mapping[Key, pd.DataFrame]


class Selection(NamedTuple):
    """The runs that stand in one table.

    Attributes:
        runs: a row per run, sorted by method, beta, gamma and seed.
        left_out: run name to the parameters that differ from those asked for, as
            `name: value (asked: value)`.
    """

    runs: pd.DataFrame
    left_out: dict[str, list[str]]


def select_runs(
    records: Mapping[str, Record], comparable: Mapping[str, Mapping[str, object]]
) -> Selection:
    """The runs made and evaluated with the parameters asked for, of any method, beta and seed.

    Args:
        records: run name to its record.
        comparable: method to the flat parameters that its metrics depend on, of any beta and seed.

    Raises:
        InvalidInput: no run has these parameters, one is there twice, or runs that have them were
            evaluated with different judges or features.
    """
    rows = []
    left_out = {}
    for name, record in records.items():
        differing = _differences(record["settings"], comparable[record["method"]], record["method"])
        if differing:
            left_out[name] = differing
        else:
            rows.append(run_row(record, name))
    if not rows:
        benchmark = next(iter(comparable.values()))["benchmark"]
        raise InvalidInput(f"No finished run of {benchmark} was made with these parameters")
    _refuse_copies(rows)
    _refuse_mixed_protocols(rows)
    return Selection(pd.DataFrame(sorted(rows, key=_order)), left_out)


def _order(row: Mapping[str, object]) -> tuple[object, ...]:
    place = list(METHODS).index(str(row["method"]))
    return place, str(row["beta"]), row["gamma"] or 0.0, row["seed"]


def _differences(made: Mapping[str, object], asked: Mapping[str, object], method: str) -> list[str]:
    return [
        f"{name}: {made.get(name)!r} (asked: {asked.get(name)!r})"
        for name in sorted({*made, *asked})
        if _must_agree(name, method) and made.get(name) != asked.get(name)
    ]


def _must_agree(name: str, method: str) -> bool:
    # To most methods the class prior matters only where beta is estimated: it goes with beta.
    if name.startswith("class_prior."):
        return "class_prior" in METHODS[method].sections
    return name not in VARIES


def _refuse_copies(rows: list[dict[str, object]]) -> None:
    """A copied folder is no second run: it would count as another seed."""
    seen: dict[tuple[object, ...], object] = {}
    for row in rows:
        key = tuple(row[name] for name in ("method", "beta", "gamma", "seed"))
        if key in seen:
            raise InvalidInput(
                f"{seen[key]} and {row['run']} are the same run; move one of them out of data/"
            )
        seen[key] = row["run"]


def _refuse_mixed_protocols(rows: list[dict[str, object]]) -> None:
    first = rows[0]
    for row in rows[1:]:
        lines = [
            f"  {field}: {first['run']} {first[field]!r}, {row['run']} {row[field]!r}"
            for field in ("judge_digest", *PROTOCOL)
            if row[field] != first[field]
        ]
        if lines:
            raise InvalidInput(
                "These runs cannot stand in one table, their evaluation differs:\n"
                + "\n".join(lines)
                + "\nEvaluate the older ones again: kedro run --pipeline=evaluate_<method> "
                "with their --env and --params."
            )


def summarize(runs: pd.DataFrame, options: ReportingOptions) -> pd.DataFrame:
    """Means and standard deviations (n - 1) over seeds, with tests against the best method.

    Args:
        runs: `Selection.runs`.
        options: the t-test and its level.

    Returns:
        A row per method, beta and gamma: `n`, `seeds`, and of every tested metric `<column>_mean`,
        `_sd`, `_p` (against the best; None with a `_note` where there is no test) and `_bold` (the
        best, or not significantly different from it). Reference methods are compared with nothing.
        `gap_closed` is the share of the way from unsupervised to `oracle` in the rate.
    """
    keys = ["method", "beta", "gamma"]
    groups = dict(list(runs.groupby(keys, dropna=False, sort=False)))
    tested = [column for column, metric in METRICS.items() if metric.tested]
    rows = []
    for key, part in groups.items():
        rows.append({**dict(zip(keys, key, strict=True)), **_spread(part, tested)})
    for column in tested:
        for row, result in zip(rows, _tests(groups, column, options), strict=True):
            row.update(result)
    summary = pd.DataFrame(rows)
    summary["gap_closed"] = _gap_closed(summary)
    return summary


def _spread(part: pd.DataFrame, metrics: Iterable[str]) -> dict[str, object]:
    spread: dict[str, object] = {
        "n": len(part),
        "seeds": " ".join(str(seed) for seed in sorted(part["seed"])),
    }
    for column in metrics:
        values = part[column].dropna().astype(float)
        spread[f"{column}_mean"] = float(values.mean())
        spread[f"{column}_sd"] = float(values.std(ddof=1)) if len(values) > 1 else None
    # One judge and one extractor for all: see `_refuse_mixed_protocols`.
    spread["judge_accuracy"] = part["judge_accuracy"].iloc[0]
    spread["extractor"] = part["extractor"].iloc[0]
    spread["train_seconds_mean"] = float(part["train_seconds"].mean())
    return spread


def _tests(groups: Groups, column: str, options: ReportingOptions) -> list[dict[str, object]]:
    """For each group the columns `_p`, `_note` and `_bold` of a metric."""
    values = {key: _by_seed(part, column) for key, part in groups.items() if _is_compared(key)}
    values = {key: of_seeds for key, of_seeds in values.items() if of_seeds}
    if not values:
        nothing: dict[str, object] = {
            f"{column}_p": None,
            f"{column}_note": "no value",
            f"{column}_bold": False,
        }
        return [nothing for _ in groups]
    higher, kind = METRICS[column].higher_is_better, options.significance
    best, tests = against_best(values, higher_is_better=higher, kind=kind)
    bold = best_or_equal(values, higher_is_better=higher, kind=kind, level=options.level)
    results: list[dict[str, object]] = []
    for key in groups:
        test = tests.get(key)
        note = "no value" if test is None else test.reason
        if key == best:
            note = "best"
        elif not _is_compared(key):
            note = "reference"
        p_value = None if test is None else test.p_value
        results.append(
            {f"{column}_p": p_value, f"{column}_note": note, f"{column}_bold": key in bold}
        )
    return results


def _is_compared(key: Key) -> bool:
    return not METHODS[str(key[0])].is_reference


def _by_seed(part: pd.DataFrame, column: str) -> dict[int, float]:
    there = part[part[column].notna()]
    return dict(zip(there["seed"], there[column], strict=True))


def _gap_closed(summary: pd.DataFrame) -> list[float | None]:
    means = summary.groupby("method")["nsr_mean"].first()
    if not {"oracle", "unsupervised"} <= set(means.index):
        return [None] * len(summary)
    gap = means["oracle"] - means["unsupervised"]
    if gap == 0:
        return [None] * len(summary)
    return [float((value - means["unsupervised"]) / gap) for value in summary["nsr_mean"]]


def over_beta(runs: pd.DataFrame) -> pd.DataFrame:
    """PU runs by the beta that was given, for Figure 4.

    Runs with an estimated beta are left out: they differ in it from seed to seed.

    Returns:
        Columns beta, n, and of every main metric the mean with `_low` and `_high`: one standard
        deviation over seeds; for a single run its interval, or nothing. Sorted by beta.

    Raises:
        InvalidInput: there are fewer than two betas.
    """
    pu = runs[runs["method"] == "pu"]
    given = pu.assign(beta=pd.to_numeric(pu["beta"], errors="coerce"))
    points = [
        {"beta": float(beta), "n": len(part), **mean_and_range(part)}
        for beta, part in given.groupby("beta")  # leaves out those that are not numbers
    ]
    if len(points) < 2:
        raise InvalidInput(
            "a figure over beta needs runs of method pu with at least two values of beta, "
            f"there are {len(points)}; make them with `kedro sweep --methods=unsupervised,pu "
            "--betas=0.05,0.1,0.15` (same --env and --params)"
        )
    return pd.DataFrame(points).sort_values("beta").reset_index(drop=True)


def mean_and_range(part: pd.DataFrame) -> dict[str, float]:
    """Of every main metric the mean, `_low` and `_high`, as in `over_beta`."""
    found: dict[str, float] = {}
    for column, metric in main_metrics().items():
        low, high = _range(part, column, metric)
        found |= {column: float(part[column].mean()), f"{column}_low": low, f"{column}_high": high}
    return found


def _range(part: pd.DataFrame, column: str, metric: Metric) -> tuple[float, float]:
    if len(part) == 1 and f"{column}_low" in metric.related:
        return float(part[f"{column}_low"].iloc[0]), float(part[f"{column}_high"].iloc[0])
    mean = float(part[column].mean())
    sd = float(part[column].std(ddof=1)) if len(part) > 1 else 0.0
    return mean - sd, mean + sd


def baseline_of(runs: pd.DataFrame) -> dict[str, float] | None:
    """The mean of every main metric of unsupervised training; None without such runs."""
    runs = runs[runs["method"] == "unsupervised"]
    return None if runs.empty else {column: float(runs[column].mean()) for column in main_metrics()}


def missing_runs(
    runs: pd.DataFrame, methods: Iterable[str], seeds: Iterable[int], beta: object
) -> list[tuple[str, int]]:
    """Method and seed of the runs that a full table still needs.

    Args:
        runs: `Selection.runs`.
        methods: the rows of the table.
        seeds: the seeds it needs of each.
        beta: of the methods that use it; runs with another one do not count.
    """
    there = {
        (row.method, row.seed)
        for row in runs.itertuples()
        if not METHODS[row.method].uses_beta or row.beta == beta
    }
    return [(method, seed) for method in methods for seed in seeds if (method, seed) not in there]
