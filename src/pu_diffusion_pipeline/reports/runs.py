"""All finished runs of a benchmark: which belong together, means over seeds, tests, what is missing."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import pandas as pd

from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.methods import METHODS
from pu_diffusion_pipeline.metrics.significance import Kind, against_best, best_or_equal

# What may differ between runs of one table: each has a column.
VARIES = ("seed", "beta", "objective.gamma")
# What must be equal between runs of one table although no parameter names it.
PROTOCOL = ("extractor", "weights_digest", "num_samples", "num_reference", "kid_subsets", "kid_subset_size",
            "neighborhood")  # fmt: skip
METRICS = {"nsr": True, "distance": False, "kid": False, "precision": True, "recall": True}  # name: higher is better


class Selection(NamedTuple):
    """Runs of one recipe.

    Attributes:
        runs: a row per run, sorted by method, beta and seed.
        left_out: run name to the parameters in which it differs from what is asked, `name: value (asked)`.
    """

    runs: pd.DataFrame
    left_out: dict[str, list[str]]


def select_runs(records: Mapping[str, dict[str, Any]], asked: Mapping[str, Mapping[str, Any]]) -> Selection:
    """The runs made and evaluated with the parameters asked for, whatever their method, beta and seed.

    Args:
        records: run name to the record of `score_samples`.
        asked: method to the flat parameters of its metrics, of any seed and beta.

    Raises:
        InvalidInput: runs that agree in their parameters were judged by different judges or features.
    """
    rows, left_out = [], {}
    for name, record in records.items():
        made, wanted = (_compared(part) for part in (record["settings"], asked[record["method"]]))
        differing = sorted(key for key in {*made, *wanted} if made.get(key) != wanted.get(key))
        if differing:
            left_out[name] = [f"{key}: {made.get(key)!r} (asked: {wanted.get(key)!r})" for key in differing]
        else:
            rows.append(run_row(name, record))
    _refuse_mixed_protocols(rows)
    order = list(METHODS)
    rows.sort(key=lambda row: (order.index(row["method"]), str(row["beta"]), row["gamma"] or 0.0, row["seed"]))
    return Selection(pd.DataFrame(rows), left_out)


def _compared(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in settings.items()
        if name not in VARIES and not name.startswith("class_prior.")  # which differs only where beta is estimated
    }


def run_row(name: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """One run as a flat row; `beta` is as it was asked for (a number or `estimated`), `beta_value` what was used."""
    rate, fidelity, training = record["non_sensitive_rate"], record["fidelity"], record["training"]
    beta = training["beta"]
    return {
        "run": name,
        "method": record["method"],
        "beta": record["settings"].get("beta"),
        "beta_value": None if beta is None else beta["value"],
        "gamma": record["settings"].get("objective.gamma"),
        "seed": record["settings"]["seed"],
        "nsr": rate["value"],
        "nsr_low": rate["low"],
        "nsr_high": rate["high"],
        "nsr_corrected": rate["corrected"],
        "distance": fidelity["frechet_distance"],
        "kid": fidelity["kernel_distance"],
        "precision": fidelity["precision"],
        "recall": fidelity["recall"],
        "train_steps": training["num_steps"],
        "train_seconds": training["seconds"],
        "judge_digest": rate["judge"]["weights_digest"],
        "judge_accuracy": rate["judge"]["accuracy"],
        **{name: fidelity[name] for name in PROTOCOL},
    }


def _refuse_mixed_protocols(rows: list[dict[str, Any]]) -> None:
    fields = ("judge_digest", *PROTOCOL)
    for row in rows[1:]:
        differing = [field for field in fields if row[field] != rows[0][field]]
        if differing:
            lines = [
                f"  {field}: {rows[0]['run']} {rows[0][field]!r}, {row['run']} {row[field]!r}" for field in differing
            ]
            raise InvalidInput(
                "These runs cannot stand in one table, their evaluation differs:\n" + "\n".join(lines) + "\n"
                "Evaluate the older ones again: kedro run --pipeline=evaluate_<method> with their seed and beta."
            )


def summarize(runs: pd.DataFrame, *, kind: Kind = "paired", level: float = 0.05) -> pd.DataFrame:
    """Mean and standard deviation (n - 1) over seeds of every method, with tests against the best one.

    Args:
        runs: `Selection.runs`.
        kind: the t-test, as in `significance.t_test`.
        level: of significance.

    Returns:
        A row per method, beta and gamma: `n`, `seeds`, and of every metric `<metric>_mean`, `_sd`, `_p` (against the
        best; None with `_note` where there is no test) and `_bold` (best, or not different from the best). Reference
        methods are compared with nothing. `gap_closed` is the share of the way from unsupervised to `oracle` in NSR.
    """
    keys = ["method", "beta", "gamma"]
    groups = dict(list(runs.groupby(keys, dropna=False, sort=False)))
    rows = [{**dict(zip(keys, key, strict=True)), **_spread(part)} for key, part in groups.items()]
    compared = [key for key in groups if not METHODS[key[0]].is_reference]
    for metric, higher in METRICS.items():
        values = {key: dict(zip(groups[key]["seed"], groups[key][metric], strict=True)) for key in compared}
        best, tests = against_best(values, higher_is_better=higher, kind=kind)
        bold = best_or_equal(values, higher_is_better=higher, kind=kind, level=level)
        for key, row in zip(groups, rows, strict=True):
            test = tests.get(key)
            row[f"{metric}_p"] = None if test is None else test.p_value
            row[f"{metric}_note"] = "best" if key == best else "reference" if test is None else test.reason
            row[f"{metric}_bold"] = key in bold
    summary = pd.DataFrame(rows)
    summary["gap_closed"] = _gap_closed(summary)
    return summary


def _spread(part: pd.DataFrame) -> dict[str, Any]:
    spread: dict[str, Any] = {"n": len(part), "seeds": " ".join(str(seed) for seed in sorted(part["seed"]))}
    for metric in METRICS:
        spread[f"{metric}_mean"] = float(part[metric].mean())
        spread[f"{metric}_sd"] = float(part[metric].std(ddof=1)) if len(part) > 1 else None
    spread["judge_accuracy"] = float(part["judge_accuracy"].iloc[0])  # one judge for all, see PROTOCOL
    spread["train_seconds_mean"] = float(part["train_seconds"].mean())
    return spread


def _gap_closed(summary: pd.DataFrame) -> list[float | None]:
    means = summary.groupby("method")["nsr_mean"].first()
    if not {"oracle", "unsupervised"} <= set(means.index) or means["oracle"] == means["unsupervised"]:
        return [None] * len(summary)
    gap = means["oracle"] - means["unsupervised"]
    return [float((value - means["unsupervised"]) / gap) for value in summary["nsr_mean"]]


def over_beta(runs: pd.DataFrame) -> pd.DataFrame:
    """PU runs by the beta that was given, for Figure 4; those with an estimated one differ in it from seed to seed.

    Returns:
        Columns beta, n, and of `nsr` and `distance` the mean with `_low` and `_high`: one standard deviation over
        seeds, or for a single run its Wilson interval (none for the distance). Sorted by beta.

    Raises:
        InvalidInput: there are fewer than two betas.
    """
    rows = []
    given = runs[runs["method"] == "pu"].assign(beta=lambda pu: pd.to_numeric(pu["beta"], errors="coerce"))
    for beta, part in given.groupby("beta"):  # leaves out those that are not numbers
        row = {"beta": float(beta), "n": len(part)}
        for metric in ("nsr", "distance"):
            mean, sd = float(part[metric].mean()), float(part[metric].std(ddof=1)) if len(part) > 1 else 0.0
            row |= {metric: mean, f"{metric}_low": mean - sd, f"{metric}_high": mean + sd}
        if len(part) == 1:
            row |= {"nsr_low": float(part["nsr_low"].iloc[0]), "nsr_high": float(part["nsr_high"].iloc[0])}
        rows.append(row)
    if len(rows) < 2:
        raise InvalidInput(
            f"a figure over beta needs runs of method pu with at least two values of beta, there are {len(rows)}; "
            "make them with `kedro reproduce figure4`"
        )
    return pd.DataFrame(rows).sort_values("beta").reset_index(drop=True)


def missing_runs(runs: pd.DataFrame, methods: Iterable[str], seeds: Iterable[int], beta: Any) -> list[tuple[str, int]]:
    """Method and seed of the runs that a full table still needs; methods with beta count at the beta asked for."""
    there = {
        (row.method, row.seed) for row in runs.itertuples() if not METHODS[row.method].uses_beta or row.beta == beta
    }
    return [(method, seed) for method in methods for seed in seeds if (method, seed) not in there]
