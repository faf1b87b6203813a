"""The pipelines that a user names, in the form that the parameters ask for."""

import pytest
from kedro.framework.project import pipelines
from kedro.framework.session import KedroSession

from conftest import REPO
from pu_diffusion_pipeline.config_loader import open_loader
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.experiment.requirements import refuse_unmet
from pu_diffusion_pipeline.session import variants


def chosen(name: str, **params) -> str:
    return variants([name], open_loader(REPO / "conf", "test", params).final_parameters())[0]


@pytest.mark.parametrize(
    ("name", "params", "expected"),
    [
        ("train_pu", {}, "train_pu"),
        ("train_pu", {"beta": "estimated"}, "train_pu.estimated"),
        ("train_pu", {"beta": "upper"}, "train_pu.estimated"),
        ("train_pu", {"watch": {"every": 2}}, "train_pu.watched"),
        ("train_pu", {"beta": "upper", "watch": {"every": 2}}, "train_pu.estimated.watched"),
        ("train_unsupervised", {"beta": "estimated"}, "train_unsupervised"),
        (
            "train_unsupervised",
            {"beta": "estimated", "watch": {"every": 2}},
            "train_unsupervised.watched",
        ),
        ("sample_pu", {"beta": "estimated", "watch": {"every": 2}}, "sample_pu"),
        ("__default__", {"beta": "estimated"}, "__default__.estimated"),
        ("report", {"relearning": {"in_report": True}}, "report.relearned"),
        ("train_pu", {"relearning": {"in_report": True}}, "train_pu"),
        (
            "__default__",
            {"beta": "upper", "relearning": {"in_report": True}},
            "__default__.estimated.relearned",
        ),
    ],
)
def test_the_form_of_a_pipeline_follows_from_the_parameters(name, params, expected):
    assert chosen(name, **params) == expected


def names(pipeline: str) -> set[str]:
    """Of the nodes, with their boxes and without."""
    full = {node.name for node in pipelines[pipeline].nodes}
    return full | {name.rpartition(".")[2] for name in full}


def test_a_given_beta_needs_no_estimate_and_an_estimated_one_does():
    assert "estimate_class_prior" not in names("train_pu")
    assert "estimate_class_prior" in names("train_pu.estimated")


def test_the_whole_run_estimates_the_class_prior_for_its_report():
    assert "estimate_class_prior" in names("__default__")


@pytest.mark.parametrize(
    "name", ["__default__.blind", "__default__.blind.estimated", "finetune.blind"]
)
def test_the_page_on_images_that_nobody_has_labelled_comes_before_any_training(name):
    order = [node.name for node in pipelines[name].nodes]
    trainings = [place for place, one in enumerate(order) if one.endswith("train_denoiser")]
    assert len(trainings) >= 3
    assert order.index("render_data_report") < min(trainings)


def test_without_labels_nothing_is_judged_by_what_has_filtered_it():
    assert any("pu_filtered" in name for name in names("frontier"))
    assert "train_second_judge" in names("frontier")
    assert not [name for name in names("frontier.blind") if "second_judge" in name]
    assert not [
        name
        for name in names("frontier.blind")
        if "_filtered" in name or "clean" in name or "oracle" in name
    ]
    photos = open_loader(REPO / "conf", "test", {}).final_parameters()
    data = photos.data.model_copy(update={"source": "folder"})
    blind = photos.model_copy(update={"data": data})
    with pytest.raises(
        InvalidInput, match="the classifier that this method trains or samples with would"
    ):
        refuse_unmet(["pu_filtered.evaluation.judge_samples"], blind)
    with pytest.raises(InvalidInput, match="the second judge learns from labels"):
        refuse_unmet(["train_second_judge"], blind)
    refuse_unmet(["pu_filtered.evaluation.judge_samples", "train_second_judge"], photos)
    refuse_unmet(["pu.evaluation.judge_samples"], blind)


def test_the_relearning_check_comes_with_the_run_whose_report_shows_it():
    for name in ("__default__", "__default__.blind.estimated"):
        assert "relearn" not in names(name)
        expected = {"pu.relearning.relearn", "render_report_with_relearning"}
        assert expected <= names(f"{name}.relearned")


def test_every_form_is_registered_once():
    for name, pipeline in pipelines.items():
        twins = [key for key, other in pipelines.items() if set(other.nodes) == set(pipeline.nodes)]
        assert twins == [name]


@pytest.mark.parametrize(
    ("pipeline", "params", "message"),
    [
        ("train_pu", {"beta": "estimated"}, r"beta is estimated.*\.estimated"),
        ("train_pu", {"watch": {"every": 2}}, r"watch\.every is set.*\.watched"),
        ("__default__", {"relearning": {"in_report": True}}, r"in_report is set.*\.relearned"),
    ],
)
def test_a_plain_kedro_session_is_told_which_form_to_run(tmp_path, pipeline, params, message):
    with (
        KedroSession.create(
            tmp_path, conf_source=str(REPO / "conf"), env="test", runtime_params=params
        ) as session,
        pytest.raises(InvalidInput, match=message),
    ):
        session.run(pipeline_names=[pipeline])


def test_relearning_of_a_conditional_model_is_refused_before_any_training(tmp_path, run):
    with pytest.raises(InvalidInput, match=r"expected data\.num_conditions null"):
        run(tmp_path, env="digits_conditional", relearning={"in_report": True})


def test_conditional_models_are_neither_guided_nor_filtered(tmp_path, run):
    with pytest.raises(InvalidInput, match=r"filtered samples: expected data\.num_conditions null"):
        run(tmp_path, "frontier", env="digits_conditional")
