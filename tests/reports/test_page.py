import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pu_diffusion_pipeline.diffusion.methods import METHODS
from pu_diffusion_pipeline.reports.frontier import frontier_figure
from pu_diffusion_pipeline.reports.options import ReportingOptions
from pu_diffusion_pipeline.reports.origin import Origin
from pu_diffusion_pipeline.reports.page import (
    MethodResult,
    Sections,
    Tables,
    headline,
    prior_sentence,
    render_class_prior,
    render_page,
    render_paper_page,
)
from pu_diffusion_pipeline.reports.samples import render_given, render_samples
from pu_diffusion_pipeline.reports.tables import methods_table, per_condition_table
from pu_diffusion_pipeline.reports.text_table import TextTable

EVIL = "<script>alert('x')</script>"


def comparison(**changes) -> pd.DataFrame:
    rows = [("unsupervised", None, 0.90), ("supervised", None, 0.91), ("pu", 0.1, 0.97)]
    table = pd.DataFrame(
        {
            "method": [method for method, *_ in rows],
            "beta": [beta for _, beta, _ in rows],
            "seed": 0,
            "nsr": [rate for *_, rate in rows],
            "nsr_low": [rate - 0.01 for *_, rate in rows],
            "nsr_high": [rate + 0.01 for *_, rate in rows],
            "nsr_corrected": [rate for *_, rate in rows],
            "num_normal": [round(2000 * rate) for *_, rate in rows],
            "num_samples": 2000,
            "distance": [10.0, 11.0, 12.5],
            "kid": 0.01,
            "precision": 0.7,
            "recall": 0.4,
            "extractor": "judge (84 features)",
            "train_steps": 700,
            "train_seconds": 60.0,
            "is_estimated": False,
        }
    )
    return table.assign(**changes)


def prior(**changes) -> dict:
    usual = {
        "estimate": 0.0923,
        "upper": 0.1085,
        "delta": 0.1,
        "num_labeled_above": 123,
        "num_unlabeled_above": 456,
        "share_of_labeled_above": 0.8,
        "sampling_variability": [0.08, 0.1],
        "spread_of_repeats": [0.09, 0.095],
        "auc": 0.93,
        "warnings": [],
    }
    return {**usual, **changes}


JUDGE = {
    "accuracy": 0.9846,
    "normal_recall": 0.99123,
    "sensitive_recall": 0.98,
    "num_normal": 500,
    "num_sensitive": 400,
    "weights_digest": "fedcba9876543210",
}
MANIFEST = {
    "num_steps": 700,
    "seconds": 61.5,
    "num_parameters": 123456,
    "device": "cpu",
    "precision": "fp32",
    "beta": None,
    "git_revision": "0123456789abcdef",
}
PAIRED = ReportingOptions(significance="paired", level=0.05)


def result(method: str, settings=None, per_condition=None, **manifest) -> MethodResult:
    usual = {"benchmark": "digits_even", "seed": 0, "data.counts.test": 500}
    return MethodResult(
        metrics={
            "method": method,
            "settings": usual if settings is None else settings,
            "per_condition": per_condition,
        },
        training_manifest={**MANIFEST, "method": method, **manifest},
    )


def results(**changes) -> dict[str, MethodResult]:
    beta = {"value": 0.1, "source": "parameter"}
    usual = {"unsupervised": {}, "supervised": {}, "pu": {"beta": beta}}
    return {method: result(method, **{**own, **changes}) for method, own in usual.items()}


def class_prior(**changes) -> str:
    scores = pd.DataFrame(
        {
            "set": ["labeled_sensitive"] * 30 + ["unlabeled"] * 50,
            "score": [*np.arange(30.0), *np.arange(50.0)],
        }
    )
    estimators = methods_table({"bbe_ratio": 0.0923, "menon": float("nan")})
    return render_class_prior(prior(**changes), estimators, scores, 1 / 11)


def images(count: int, value: int) -> np.ndarray:
    return np.full((count, 1, 4, 4), value, dtype=np.uint8)


def sections(**changes) -> Sections:
    framed = np.arange(5) < 2
    usual = {
        "samples": render_samples(
            {"unsupervised": (images(5, 9), framed), "pu": (images(5, 9), ~framed)},
            is_blurred=False,
        ),
        "classes": "",
        "beta": "",
        "given": render_given(images(3, 9), images(3, 200)),
        "class_prior": class_prior(),
        "frontier": "",
    }
    return Sections(**{**usual, **changes})


ORIGIN = Origin(
    command="kedro run --params=seed:3",
    models={"pu": "data/06_models/pu/model", "pnu": "data/06_models/pnu/model"},
    changed={"seed": (3, 0)},
)


def page(**changes) -> str:
    usual = {
        "tables": Tables(comparison(), pd.DataFrame({"n": [1, 1, 1]}), None, PAIRED),
        "judge": JUDGE,
        "sections": sections(),
        "curves": {"svg": b"<?xml version='1.0'?><svg></svg>"},
        "methods": results(),
        "origin": ORIGIN,
        "date": "2026-01-02",
    }
    return render_page(**{**usual, **changes})


def test_the_section_on_all_methods_is_there_where_it_was_rendered():
    heading = "What each method prevents and what it costs"
    assert heading not in page()
    shown = page(sections=sections(frontier="<p>the table</p>"))
    assert heading in shown
    assert "<p>the table</p>" in shown


class Reader(HTMLParser):
    """Tags with their attributes, and the text between tags."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags, self.words = [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def rendered() -> str:
    return page()


def test_page_needs_no_other_file(rendered):
    reader = Reader(rendered)
    links = [
        value
        for _, attributes in reader.tags
        for name, value in attributes.items()
        if name in ("src", "href", "xlink:href", "data", "srcset", "action", "poster")
    ]
    assert any(link.startswith("data:image/png;base64,") for link in links)
    assert [link for link in links if not link.startswith(("data:", "#"))] == []
    assert {tag for tag, _ in reader.tags}.isdisjoint(
        {"script", "link", "iframe", "object", "embed", "base"}
    )
    assert "@import" not in rendered
    assert all(target.startswith("#") for target in re.findall(r"url\(['\"]?([^)]*)", rendered))


def test_page_shows_the_table_with_every_method(rendered):
    text = Reader(rendered).text
    for expected in (
        "unsupervised – 0.900 0.890 – 0.910 1800 / 2000",
        "pu 0.1 0.970 0.960 – 0.980 1940 / 2000",
    ):
        assert expected in text
    assert "FD ↓" in text
    assert "FID" not in text
    assert "judge (84 features)" in text


def test_page_shows_judge_prior_settings_and_manifests(rendered):
    text = Reader(rendered).text
    assert "Accuracy 0.9846 on 900 images" in text
    assert "99.12 % of real normal images" in text
    assert "98.00 % of real sensitive ones" in text
    assert "fedcba987654" in text
    assert "0.0923 if irreducible" in text
    assert "0.0923 default" in text
    assert "data counts.test 500" in text
    assert "benchmark digits_even seed 0" in text
    assert "pu 700 61.5 123456 cpu fp32 parameter 0123456789ab" in text
    assert "unsupervised 700 61.5 123456 cpu fp32 – 0123456789ab" in text


def test_page_holds_every_figure(rendered):
    reader = Reader(rendered)
    encoded = next(attributes["src"] for tag, attributes in reader.tags if tag == "img").partition(
        ","
    )[2]
    assert Image.open(io.BytesIO(base64.b64decode(encoded))).format == "PNG"
    assert sum(tag == "svg" for tag, _ in reader.tags) == 2


def test_page_says_how_to_make_it_again(rendered):
    text = Reader(rendered).text
    assert "Seed 0, page of 2026-01-02" in text
    assert "kedro run --params=seed:3" in text
    assert "pu data/06_models/pu/model" in text
    assert "pnu data" not in text
    assert "parameter here default seed 3 0" in text
    recommended = {name: result(name) for name in ("unsupervised", "pu", "pu_clean_filtered")}
    assert "seed:3 --pipeline=recommended" in page(methods=recommended)
    assert "differ from conf/base" not in page(origin=ORIGIN._replace(changed={}))


def test_text_from_outside_is_escaped():
    evil = result(
        EVIL,
        settings={"benchmark": EVIL, EVIL: EVIL, "data.root": EVIL, f"data.{EVIL}": 1},
        device=EVIL,
        precision=EVIL,
        beta={"value": 0.1, "source": EVIL},
        git_revision=EVIL,
    )
    html = page(
        tables=Tables(comparison(extractor=EVIL), pd.DataFrame({"n": [1]}), None, PAIRED),
        sections=sections(class_prior=class_prior(estimate=None, warnings=[EVIL])),
        methods={EVIL: evil},
    )
    assert "<script" not in html
    assert html.count("&lt;script&gt;") >= 9
    assert EVIL in Reader(html).text


RIGHT_TO_LEFT = "\u202eأرقام \u05d0"


@pytest.mark.parametrize("name", [EVIL, RIGHT_TO_LEFT])
def test_a_method_may_have_any_name(name, monkeypatch):
    monkeypatch.setitem(METHODS, name, METHODS["pu_filtered"])
    framed = np.zeros(5, dtype=bool)
    shown = render_samples({name: (images(5, 9), framed)}, is_blurred=False)
    table = comparison(method=["unsupervised", "pu", name])
    html = page(
        tables=Tables(table, pd.DataFrame({"n": [1]}), None, PAIRED),
        sections=sections(samples=shown),
        methods={**results(), name: result(name)},
    )
    assert "<script" not in html
    assert Reader(html).text.count(" ".join(name.split())) >= 5


def test_a_report_of_one_method_says_what_it_reaches():
    table = comparison()[2:].assign(method="clean")
    html = page(
        tables=Tables(table, pd.DataFrame({"n": [1]}), None, PAIRED),
        methods={"clean": result("clean")},
    )
    assert "Sensitive samples and Frechet distances: clean: 3.0 % and 12.5." in Reader(html).text


@pytest.mark.parametrize("count", [0, 1, 5000])
def test_a_page_shows_some_samples_however_many_there_are(count):
    framed = np.arange(count) % 2 == 0
    shown = render_samples({"pu": (images(count, 9), framed)}, is_blurred=True)
    given = render_given(images(count, 9), images(count, 200))
    html = page(sections=sections(samples=shown, given=given))
    assert f"of these {min(count, 64)} samples are judged sensitive" in Reader(html).text
    assert len(html) < 200_000


def test_the_figure_of_very_many_runs_holds_all_their_names():
    shown = {"method": "pu", "label": [f"pu, β 0.{beta}" for beta in range(100, 160)]}
    rates = {"nsr": 0.9, "nsr_low": 0.8, "nsr_high": 1.0}
    distances = {"distance": 40.0, "distance_low": 35.0, "distance_high": 45.0}
    points = pd.DataFrame({**shown, **rates, **distances, "is_on_front": False})
    figure = frontier_figure(points)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    legend = axes.get_legend().get_window_extent()
    assert figure.bbox.y0 <= legend.y0 < legend.y1 <= figure.bbox.y1
    assert axes.get_window_extent().width > figure.bbox.width / 3


def test_a_page_outside_a_repository_says_so():
    html = page(methods=results(git_revision=None))
    assert "pu 700 61.5 123456 cpu fp32 parameter none" in Reader(html).text


def test_a_method_that_does_not_train_has_samples_and_no_row_of_training():
    plain = result("pretrained")
    plain = MethodResult(plain.metrics)
    text = Reader(page(methods={"pretrained": plain, **results()})).text
    assert "pretrained 700" not in text
    assert "supervised 700" in text


def test_several_seeds_are_shown_with_the_test_that_was_made():
    columns = {
        "method": ["unsupervised", "pu"],
        "beta": [None, 0.1],
        "gamma": None,
        "n": 2,
        "extractor": "judge",
        "gap_closed": None,
    }
    for metric in ("nsr", "distance"):
        columns |= {f"{metric}_mean": [0.9, 0.95], f"{metric}_sd": 0.01, f"{metric}_p": 0.02}
        columns |= {f"{metric}_note": ["", "best"], f"{metric}_bold": [False, True]}
    shown = Tables(comparison(), pd.DataFrame(columns), None, PAIRED)
    html = page(tables=shown)
    assert "<b>0.950 ± 0.010</b>" in html
    assert "<b>0.900" not in html
    assert "Paired t-test over common seeds" in Reader(html).text
    assert "Over seeds" not in page()


def test_summary_gives_the_shares_and_whether_the_intervals_overlap():
    assert headline(comparison()) == (
        "Of the samples of PU training 3.0 % are judged sensitive, of those of unsupervised "
        "training 10.0 %; the 95 % intervals do not overlap. Their Frechet distances to real "
        "normal images are 12.5 and 10.0."
    )
    wide = comparison(nsr_low=[0.8, 0.8, 0.9], nsr_high=[0.95, 0.95, 0.99])
    assert "the 95 % intervals overlap." in headline(wide)
    assert "are estimated to be sensitive" in headline(comparison(is_estimated=True))
    worse = comparison(
        nsr=[0.97, 0.91, 0.9], nsr_low=[0.96, 0.9, 0.89], nsr_high=[0.98, 0.92, 0.91]
    )
    assert headline(worse).startswith(
        "Of the samples of PU training 10.0 % are judged sensitive, of those of unsupervised "
        "training 3.0 %; the 95 % intervals do not overlap."
    )
    further = comparison(method=["unsupervised", "pu_clean_filtered", "pu"])
    assert headline(further).endswith(" pu_clean_filtered: 9.0 % and 11.0.")


def test_the_prior_is_given_with_its_bound_counts_and_true_share():
    sentence = prior_sentence(prior(), 1 / 11)
    for part in (
        "0.0923 if irreducible",
        "at most 0.1085",
        "probability 0.1;",
        "123 images of S",
        "456 of U",
        "0.0909",
    ):
        assert part in sentence


def test_the_options_of_the_estimate_stand_beside_it():
    html = class_prior(settings={"seed": 0, "class_prior.folds": 2, "class_prior.model": "svm"})
    assert "Options of the estimate: folds 2, model svm." in Reader(html).text
    assert "Options of the estimate" not in class_prior()


def test_a_missing_estimate_is_given_with_its_reason():
    sentence = prior_sentence(prior(estimate=None, warnings=["S has 10 images", "another"]), 0.1)
    assert sentence == "No estimate: S has 10 images; another."


# --- the page of the paper's tables and figures ---------------------------------------------------


def test_the_papers_page_shows_every_table_and_figure_that_is_there(tmp_path):
    table = TextTable(
        pd.DataFrame({"benchmark": [EVIL], "pu": ["0.978 ± 0.003"]}),
        frozenset({(0, "pu")}),
        "Table 2: rates",
        "the caption",
    )
    (tmp_path / "table2.json").write_text(table.to_json())
    Image.new("RGB", (4, 4)).save(tmp_path / "figure4_digits_even.png")
    Image.new("RGB", (4, 4)).save(tmp_path / "frontier_mnist_even.png")
    Image.new("RGB", (4, 4)).save(tmp_path / "a_picture_of_the_user.png")
    page = render_paper_page(tmp_path)
    assert "Table 2: rates" in page
    assert "the caption" in page
    assert "<b>0.978 ± 0.003</b>" in page
    assert "(digits_even)" in page
    assert page.count("data:image/png;base64,") == 2
    assert "Figure 4: non-sensitive rate" in page
    assert "Frontier: what each method prevents" in page
    assert EVIL not in page
    assert "Table 3" not in page


# --- conditional runs -----------------------------------------------------------------------------


def test_conditional_runs_are_shown_by_the_class_asked_for():
    found = {"3": {"value": 1.0, "as_asked": 0.0}, "4": {"value": 0.995, "as_asked": 0.99}}
    table = per_condition_table(
        [{"method": "pu", "per_condition": found}, {"method": "old", "per_condition": None}]
    )
    assert table.to_dict("records") == [
        {"method": "pu", "asked for 3": "1.000 (0.000)", "asked for 4": "0.995 (0.990)"}
    ]
    assert "asked for 3" in page(methods=results(per_condition=found))
    assert per_condition_table([{"method": "pu", "per_condition": None}]) is None
    assert "By the requested class" not in page()
