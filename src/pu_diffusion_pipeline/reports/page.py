"""The reports as HTML pages that need no other file."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pu_diffusion_pipeline.diffusion.methods import DEFAULT_METHODS, METHODS, RECOMMENDED
from pu_diffusion_pipeline.metrics.registry import Record, value_at
from pu_diffusion_pipeline.positive_unlabeled.ratio import Scores
from pu_diffusion_pipeline.reports.figure_files import figure_section, svg_element, to_svg
from pu_diffusion_pipeline.reports.figures import ratio_figure
from pu_diffusion_pipeline.reports.frontier import frontier_figure, frontier_table
from pu_diffusion_pipeline.reports.options import ReportingOptions
from pu_diffusion_pipeline.reports.origin import Origin
from pu_diffusion_pipeline.reports.relearning import shown
from pu_diffusion_pipeline.reports.summary import (
    paper_judge_accuracy,
    summary_table,
    tests_caption,
)
from pu_diffusion_pipeline.reports.tables import formatted, has_labels, per_condition_table
from pu_diffusion_pipeline.reports.templates import template
from pu_diffusion_pipeline.reports.text_table import TextTable

# Of a report that `kedro run` alone does not make: its methods to the option that does.
PIPELINE_OF = {
    RECOMMENDED: " --pipeline=recommended",
    ("pretrained", *DEFAULT_METHODS): " --pipeline=finetune",
}
# What figures show, for those who do not see them.
CURVES = "Errors on U and S, and R_S⁺, over the steps of each training"
RATIO = "Share of U above a score divided by the share of S, and its bound"
FIGURE_TITLES = {
    "figure1": "U, S, and samples of unsupervised and PU training",
    "figure2": "samples from the same starting noise; those judged sensitive have a frame",
    "figure3": "samples from the same starting noise; those judged sensitive have a frame",
    "figure4": "non-sensitive rate and Frechet distance against beta",
    "frontier": "what each method prevents and what it costs",
}


@dataclass(frozen=True)
class MethodResult:
    """What a run of a method left.

    Attributes:
        metrics: the record of `score_samples`.
        training_manifest: what the training was made with; None for a method that does not train.
        relearning: rates of the model while it is fine-tuned on U; None: not checked.
    """

    metrics: Record
    training_manifest: Record | None = None
    relearning: pd.DataFrame | None = None


@dataclass(frozen=True)
class Tables:
    """The numbers at the top of the page.

    Attributes:
        comparison: `tables.comparison_table`.
        summary: `runs.summarize`, over all finished runs.
        paper_row: the benchmark's row in the paper's tables, if it has one.
        options: the t-test of the summary.
    """

    comparison: pd.DataFrame
    summary: pd.DataFrame
    paper_row: str | None
    options: ReportingOptions


@dataclass(frozen=True)
class Sections:
    """Parts of the page that other nodes have rendered, as HTML.

    Attributes:
        samples: `samples.render_samples`.
        classes: `samples.render_classes`; empty: the judge knows no classes.
        beta: the metrics against beta, as SVG; empty: there are not two betas.
        given: `samples.render_given`.
        class_prior: `render_class_prior`.
        frontier: `render_frontier`; empty: there is nothing to show.
    """

    samples: str
    classes: str
    beta: str
    given: str
    class_prior: str
    frontier: str


def render_page(
    tables: Tables,
    judge: Record,
    sections: Sections,
    curves: Mapping[str, bytes],
    methods: Mapping[str, MethodResult],
    origin: Origin,
    date: str,
) -> str:
    """Render the report of a run.

    Args:
        tables: the numbers.
        judge: what `assess_judge` returned; without labels, the report on the classifier of
            sensitivity.
        sections: what was rendered before.
        curves: the training curves as they were saved: format to content.
        methods: name to what its run left, in the order of the table.
        origin: where the run came from.
        date: of the page.
    """
    records = [result.metrics for result in methods.values()]
    by_class = per_condition_table(records)
    return template("page.html.jinja").render(
        benchmark=records[0]["settings"]["benchmark"],
        headline=headline(tables.comparison),
        table=formatted(tables.comparison),
        extractor=tables.comparison["extractor"].iloc[0],
        by_class=None if by_class is None else TextTable(by_class),
        over_seeds=_over_seeds(tables),
        sections=sections,
        relearned=_relearned(methods),
        curves=figure_section(svg_element(curves["svg"].decode()), CURVES),
        manifests=[one.training_manifest for one in methods.values() if one.training_manifest],
        judge=judge,
        warnings=_warnings(methods),
        own_judge=value_at(records[0], "non_sensitive_rate.judge.onnx"),
        judge_split=records[0]["settings"].get("data.judge_split", "clean"),
        has_labels="non_sensitive_rate" not in records[0] or has_labels(records[0]),
        is_estimated=bool(tables.comparison["is_estimated"].any()),
        paper_judge=paper_judge_accuracy(tables.paper_row),
        settings=settings_by_section(records),
        seed=records[0]["settings"].get("seed"),
        command=origin.command + PIPELINE_OF.get(tuple(methods), ""),
        changed=origin.changed,
        date=date,
        models=_models(methods, origin),
    )


def _models(methods: Mapping[str, MethodResult], origin: Origin) -> dict[str, str]:
    """Name and folder of each model that was sampled."""
    manifests = [one.training_manifest for one in methods.values() if one.training_manifest]
    names = [str(manifest["method"]) for manifest in manifests]
    return {name: origin.models[name] for name in names if name in origin.models}


def _relearned(methods: Mapping[str, MethodResult]) -> Mapping[str, object] | None:
    if not {"pu", "unsupervised"}.issubset(methods) or methods["pu"].relearning is None:
        return None
    return shown(methods["pu"].relearning, methods["unsupervised"].metrics)


def _warnings(methods: Mapping[str, MethodResult]) -> list[tuple[str, str]]:
    """Method and warning on its rate, which only an estimate without labels has."""
    return [
        (name, warning)
        for name, result in methods.items()
        for warning in rate_warnings(result.metrics)
    ]


def rate_warnings(metrics: Record) -> list[str]:
    """What an estimate of the rate warns of."""
    return metrics.get("non_sensitive_rate", {}).get("warnings", [])


def _over_seeds(tables: Tables) -> TextTable | None:
    """The summary with its caption; None if every method has a single run."""
    if (tables.summary["n"] == 1).all():
        return None
    table = summary_table(tables.summary, tables.paper_row)
    return TextTable(table.rows, table.bold, caption=tests_caption(tables.options))


def settings_by_section(records: list[Record]) -> dict[str, dict[str, object]]:
    """The parameters that records depend on: section to name to value.

    Args:
        records: of one run, so parameters of the same name are equal.
    """
    sections: dict[str, dict[str, object]] = {"run": {}}
    for record in records:
        for name, value in record.get("settings", {}).items():
            section, _, rest = name.partition(".")
            if not rest:
                section, rest = "run", name
            sections.setdefault(section, {})[rest] = value
    return sections


def render_class_prior(
    prior: Record, methods: pd.DataFrame, scores: pd.DataFrame, true_share: float | None
) -> str:
    """The section of the page about the share of sensitive images in U, as HTML.

    Args:
        prior: the record of the class prior.
        methods: `tables.methods_table`.
        scores: a row per image of S and U: `set` and `score`.
        true_share: of sensitive images in U; None where no labels say it.
    """
    by_set = {name: part.to_numpy() for name, part in scores.groupby("set")["score"]}
    figure = ratio_figure(Scores(**by_set), prior, true_share)
    sections = settings_by_section([prior])
    return template("class_prior.html.jinja").render(
        sentence=prior_sentence(prior, true_share),
        warnings=prior["warnings"],
        methods=methods,
        options=sections.get("class_prior"),
        figure=figure_section(to_svg(figure), RATIO),
    )


def render_frontier(points: pd.DataFrame) -> str:
    """The section of the page on what each method prevents and what it costs, as HTML.

    Args:
        points: `frontier.frontier_points`.
    """
    return template("frontier.html.jinja").render(
        figure_svg=to_svg(frontier_figure(points)), table=frontier_table(points)
    )


def render_paper_page(folder: Path) -> str:
    """Every table and figure that `kedro reproduce` has left in a folder, as one page.

    Args:
        folder: with `table<n>.json` (`TextTable.to_json`) and `<name>_<benchmark>.png`, with a name
            of `FIGURE_TITLES`.
    """
    tables = [TextTable.from_json(path.read_text()) for path in sorted(folder.glob("table?.json"))]
    figures = []
    for path in sorted(folder.glob("*_*.png")):
        name, _, benchmark = path.stem.partition("_")
        if name not in FIGURE_TITLES:
            continue
        heading = name.replace("figure", "figure ").capitalize()
        title = f"{heading}: {FIGURE_TITLES[name]} ({benchmark})"
        figures.append({"title": title, "png": base64.b64encode(path.read_bytes()).decode()})
    return template("paper.html.jinja").render(tables=tables, figures=figures)


def headline(comparison: pd.DataFrame) -> str:
    """What PU training prevents and costs, and whether a method goes further, in three sentences.

    Of a table without PU or unsupervised training: what each method reaches.
    The rates are the judge's, so the sentence says that samples are judged, not what they are.
    """
    rows = comparison.set_index("method")
    if not {"pu", "unsupervised"}.issubset(rows.index):
        return f"Sensitive samples and Frechet distances:{_reached(rows)}"
    pu = rows.loc["pu"]
    plain = rows.loc["unsupervised"]
    if pd.isna(pu["nsr"]) or pd.isna(plain["nsr"]):
        return "No labels, and the classifier does not tell sensitive images: there is no rate."
    apart = pu["nsr_low"] > plain["nsr_high"] or plain["nsr_low"] > pu["nsr_high"]
    said = "estimated to be" if comparison["is_estimated"].any() else "judged"
    return (
        f"Of the samples of PU training {_sensitive(pu)} are {said} sensitive, of those of "
        f"unsupervised training {_sensitive(plain)}; the 95 % intervals "
        f"{'do not overlap' if apart else 'overlap'}. Their Frechet distances to real normal "
        f"images are {pu['distance']:.1f} and {plain['distance']:.1f}."
        f"{_reached(rows[[bool(METHODS[str(name)].sections) for name in rows.index]])}"
    )


def _sensitive(row: pd.Series) -> str:
    return f"{100 * (1 - row['nsr']):.1f} %"


def _reached(rows: pd.DataFrame) -> str:
    """The share and the distance of each method."""
    return "".join(
        f" {name}: {_sensitive(row)} and {row['distance']:.1f}." for name, row in rows.iterrows()
    )


def prior_sentence(prior: Record, true_share: float | None) -> str:
    """The estimate of the class prior with its bound, counts and the true share in a sentence."""
    if prior["estimate"] is None:
        return "No estimate: " + "; ".join(prior["warnings"]) + "."
    low, high = prior["sampling_variability"]
    first, last = prior["spread_of_repeats"]
    truth = "" if true_share is None else f" True share in U: {true_share:.4f}."
    return (
        f"{prior['estimate']:.4f} if irreducible, at most {prior['upper']:.4f} (bound that fails "
        f"with probability {prior['delta']:g}; approximate). {prior['num_labeled_above']} images "
        f"of S and {prior['num_unlabeled_above']} of U lie above the threshold. Sampling "
        f"variability {low:.4f} to {high:.4f}, repeated fits {first:.4f} to {last:.4f}, AUC of S "
        f"against U {prior['auc']:.3f}.{truth}"
    )
