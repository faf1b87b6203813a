"""The whole DAG on made-up images: what a run leaves, what a rerun does, what is refused."""

import json
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from kedro.framework.project import settings
from omegaconf import OmegaConf

from conftest import REPO
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.experiment.claims import remember

MODEL = "data/06_models/test"
OUTPUT = "data/07_model_output/test"
RUN = "beta_0.1-seed_0"


def files(folder) -> dict[str, float]:
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def finished_copy(finished_run, tmp_path):
    shutil.copytree(finished_run, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_a_run_leaves_every_artifact_and_no_litter(finished_run):
    made = files(finished_run)
    assert f"{MODEL}/pu/{RUN}/model/unet/diffusion_pytorch_model.safetensors" in made
    assert f"{MODEL}/unsupervised/seed_0/model/model_index.json" in made
    assert f"data/08_reporting/test/{RUN}/report.html" in made
    assert not [name for name in made if ".tmp-" in name or ".old-" in name]


def test_metrics_name_what_they_were_measured_by(finished_run):
    metrics = json.loads((finished_run / f"{OUTPUT}/pu/{RUN}/metrics.json").read_text())
    judge = json.loads((finished_run / f"{OUTPUT}/judge/default/judge_report.json").read_text())
    rate, fidelity = metrics["non_sensitive_rate"], metrics["fidelity"]
    judgements = pd.read_csv(finished_run / f"{OUTPUT}/pu/{RUN}/judgements.csv")
    assert rate["num_samples"] == len(judgements) == 24
    assert rate["num_normal"] == int((~judgements["judged_sensitive"]).sum())
    assert rate["value"] == rate["num_normal"] / 24
    assert rate["low"] <= rate["value"] <= rate["high"]
    assert rate["judge"] == judge
    assert fidelity["weights_digest"] == judge["weights_digest"]
    assert (fidelity["num_samples"], fidelity["num_reference"]) == (24, 40)
    assert metrics["versions"]["torch"]
    assert metrics["settings"]["training.num_steps"] == 6


def test_split_tables_point_at_the_images(finished_run):
    from pu_diffusion_pipeline.images.sources import open_source
    from pu_diffusion_pipeline.images.transforms import to_model_size

    source = open_source("synthetic", finished_run, download=False)
    for name in ("unlabeled", "labeled_sensitive"):
        table = pd.read_csv(finished_run / f"data/02_intermediate/test/seed_0/{name}.csv")
        images = np.load(finished_run / f"data/03_primary/test/seed_0/{name}/images.npy")
        assert list(table["sha256"]) == source.digests(table["position"].to_numpy())
        expected = [to_model_size(source.read(position), 16, 1) for position in table["position"]]
        np.testing.assert_array_equal(images, np.stack(expected))


def test_every_spelling_of_beta_is_one_run(finished_run, session, tmp_path):
    paths = set()
    for beta in ("0.10", 0.1, "1e-1"):
        with session(tmp_path, beta=beta) as opened:
            paths.add(str(opened.load_context().catalog.get("pu.metrics").filepath))
    assert len(paths) == 1


def test_another_beta_gets_its_own_folder_and_leaves_the_baselines_alone(finished_copy, run):
    before = files(finished_copy / MODEL)
    run(finished_copy, "train_pu", beta=0.15)
    after = files(finished_copy / MODEL)
    new = {name for name in after if name not in before}
    assert new
    assert all(name.startswith("pu/beta_0.15-seed_0/") for name in new)
    trained = [
        name for name in before if not name.startswith("initial/")
    ]  # written anew each time, alike
    assert {name: after[name] for name in trained} == {name: before[name] for name in trained}


def test_an_override_gets_its_own_folder(finished_copy, run):
    run(finished_copy, "train_unsupervised", training={"num_steps": 3})
    manifest = finished_copy / f"{MODEL}/unsupervised/seed_0-training.num_steps_3/manifest.json"
    assert json.loads(manifest.read_text())["num_steps"] == 3
    assert (
        json.loads((finished_copy / f"{MODEL}/unsupervised/seed_0/manifest.json").read_text())[
            "num_steps"
        ]
        == 6
    )


def test_a_rerun_does_not_train_again_and_gives_the_same_bytes(finished_copy, run):
    weights = finished_copy / f"{MODEL}/pu/{RUN}/model/unet/diffusion_pytorch_model.safetensors"
    checkpoints = finished_copy / f"{MODEL}/pu/{RUN}/checkpoints"
    before, states = weights.read_bytes(), files(checkpoints)
    run(finished_copy, "train_pu")
    assert weights.read_bytes() == before
    assert files(checkpoints) == states


def test_an_evaluation_says_what_it_found_and_where(finished_copy, run, caplog, monkeypatch):
    monkeypatch.chdir(finished_copy)
    with caplog.at_level("INFO"):
        run(finished_copy, "evaluate_pu")
    metrics = json.loads((finished_copy / OUTPUT / "pu" / RUN / "metrics.json").read_text())
    rate = metrics["non_sensitive_rate"]["value"]
    assert any(line.startswith(f"pu: NSR {rate:.3f} (") for line in caplog.messages)
    assert caplog.messages[-1].endswith(f"{OUTPUT}/pu/{RUN}/metrics.json")


def test_a_run_with_nothing_left_to_do_says_so(finished_copy, session, caplog):
    with caplog.at_level("INFO"), session(finished_copy) as opened:
        opened.run(pipeline_names=["evaluate_pu"], only_missing_outputs=True)
    assert caplog.messages[-1] == "Nothing to do: every output already exists"


def test_evaluation_alone_reruns_on_saved_samples(finished_copy, run):
    metrics = finished_copy / f"{OUTPUT}/pu/{RUN}/metrics.json"
    before, samples = metrics.read_text(), files(finished_copy / f"{OUTPUT}/pu/{RUN}/samples")
    metrics.unlink()
    run(finished_copy, "evaluate_pu", beta="0.100")
    assert metrics.read_text() == before
    assert files(finished_copy / f"{OUTPUT}/pu/{RUN}/samples") == samples


# --- what a folder was made with ------------------------------------------------------------------


def edited_conf(folder, section: str, **values) -> str:
    """A copy of the configuration in which somebody has edited parameters.yml."""
    shutil.copytree(REPO / "conf", folder / "conf")
    path = folder / "conf/test/parameters.yml"
    OmegaConf.save(OmegaConf.merge(OmegaConf.load(path), {section: values}), path)
    return str(folder / "conf")


def run_with(folder, conf: str, pipeline: str, env: str = "test") -> None:
    with settings.SESSION_CLASS.create(
        project_path=folder, conf_source=conf, env=env, save_on_close=False
    ) as opened:
        opened.run(pipeline_names=[pipeline])


@pytest.mark.parametrize("pipeline", ["evaluate_pu", "sample_pu", "train_pu", "__default__"])
def test_after_editing_a_training_parameter_nothing_runs_and_the_parameter_is_named(
    finished_copy, pipeline, caplog
):
    conf = edited_conf(finished_copy, "training", learning_rate=0.5)
    before = files(finished_copy / "data")
    with pytest.raises(InvalidInput, match=r"training\.learning_rate: made with 0\.001, now 0\.5"):
        run_with(finished_copy, conf, pipeline)
    assert files(finished_copy / "data") == before
    assert "[1/" not in caplog.text, "a node has run"


def test_another_environment_with_the_same_benchmark_does_not_overwrite(finished_copy):
    conf = edited_conf(finished_copy, "judge", num_epochs=3)
    shutil.copytree(f"{conf}/test", f"{conf}/mine")
    before = files(finished_copy / "data")
    with pytest.raises(InvalidInput, match="benchmark must be 'mine'"):
        run_with(finished_copy, conf, "train_classifier", env="mine")
    assert files(finished_copy / "data") == before


def test_folders_without_a_claim_are_refused_by_name(finished_copy, run):
    for path in finished_copy.rglob("*.claim.json"):
        path.unlink()
    with pytest.raises(InvalidInput, match=r"earlier version[\s\S]*rm -r .*pu/beta_0\.1-seed_0"):
        run(finished_copy, "evaluate_pu")


def test_a_claim_of_a_folder_without_artifacts_binds_nobody(finished_copy, run):
    folder = finished_copy / f"{OUTPUT}/pu/{RUN}"
    claim = folder / "metrics.claim.json"
    for path in ("metrics.json", "judgements.csv"):
        (folder / path).unlink()
    shutil.rmtree(folder / "features")
    recorded = json.loads(claim.read_text())
    recorded["made_with"]["seed"] = 9
    claim.write_text(json.dumps(recorded))
    run(finished_copy, "evaluate_pu")
    assert json.loads(claim.read_text())["made_with"]["seed"] == 0


def test_records_and_manifests_say_what_made_them(finished_run):
    record = json.loads((finished_run / f"{MODEL}/pu/{RUN}/manifest.json").read_text())
    samples = json.loads((finished_run / f"{OUTPUT}/pu/{RUN}/samples/manifest.json").read_text())
    judge = json.loads((finished_run / f"{MODEL}/judge/default/model/manifest.json").read_text())
    for made, expected in (
        (record, "beta"),
        (samples, "sampling.num_steps"),
        (judge, "judge.seed"),
    ):
        assert expected in made["settings"]
        assert made["versions"]["torch"]
    assert samples["training"] == record


def test_a_missing_input_names_the_command_that_makes_it(tmp_path, run):
    with pytest.raises(InvalidInput, match=r"pu\.samples .*kedro run --pipeline=sample_pu"):
        run(tmp_path, "evaluate_pu")
    assert list(tmp_path.iterdir()) == []


def test_a_results_folder_that_cannot_be_written_is_refused_before_any_work(tmp_path, run):
    (tmp_path / "data").write_text("a file where the folder should be")
    with pytest.raises(InvalidInput, match="cannot be written"):
        run(tmp_path, "train_pu")


def test_estimated_beta_is_recorded_with_its_source(finished_copy, run):
    run(finished_copy, "train_pu", beta="estimated")
    manifest = json.loads(
        (finished_copy / f"{MODEL}/pu/beta_estimated-seed_0/manifest.json").read_text()
    )
    prior = json.loads((finished_copy / "data/04_feature/test/seed_0/class_prior.json").read_text())
    assert manifest["beta"] == {
        "value": prior["estimate"],
        "source": "class prior, BBE-ratio (if irreducible)",
    }
    assert "class_prior.delta" in manifest["settings"]


def test_the_judge_and_the_test_images_do_not_depend_on_the_seed(finished_copy, run):
    test = (finished_copy / "data/03_primary/test/default/test/images.npy").read_bytes()
    run(finished_copy, "data_engineering", seed=5)
    assert (finished_copy / "data/03_primary/test/default/test/images.npy").read_bytes() == test
    unlabeled = [
        finished_copy / f"data/03_primary/test/seed_{seed}/unlabeled/images.npy" for seed in (0, 5)
    ]
    assert unlabeled[0].read_bytes() != unlabeled[1].read_bytes()


TRAIN = """
import sys
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
bootstrap_project({repo!r})
params = {{"training": {{"num_steps": 120, "checkpoint_every": 2}}}}
conf = {repo!r} + "/conf"
with KedroSession.create(
    {folder!r}, conf_source=conf, env="test", runtime_params=params
) as session:
    session.run(pipeline_names=["train_pu"])
"""


def start_training(folder):
    return subprocess.Popen(
        [sys.executable, "-c", TRAIN.format(repo=str(REPO), folder=str(folder))]
    )


@pytest.mark.slow
def test_a_run_killed_and_resumed_gives_the_same_bits_as_one_never_stopped(tmp_path):
    run_folder = "beta_0.1-seed_0-training.num_steps_120"
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    killed.mkdir(), whole.mkdir()
    checkpoints = killed / MODEL / "pu" / run_folder / "checkpoints"

    process = start_training(killed)
    while not (checkpoints / "step_00000020.sha256").exists():
        assert process.poll() is None, "the training ended before it could be killed"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    stopped_at = max(int(path.stem.split("_")[1]) for path in checkpoints.glob("step_*.pt"))
    assert stopped_at < 120
    assert not (killed / MODEL / "pu" / run_folder / "model").exists()

    assert start_training(killed).wait() == 0
    assert start_training(whole).wait() == 0
    weights = [
        (
            folder / MODEL / "pu" / run_folder / "model/unet/diffusion_pytorch_model.safetensors"
        ).read_bytes()
        for folder in (killed, whole)
    ]
    assert weights[0] == weights[1]
    histories = [
        pd.read_csv(folder / MODEL / "pu" / run_folder / "history.csv").drop(
            columns="images_per_second"
        )
        for folder in (killed, whole)
    ]
    pd.testing.assert_frame_equal(*histories, check_exact=True)


# --- methods beside the default ones --------------------------------------------------------------


def metrics_of(folder, method: str) -> dict:
    (path,) = folder.glob(f"{OUTPUT}/{method}/*/metrics.json")
    return json.loads(path.read_text())


def test_the_oracle_is_a_reference_row_in_the_summary(finished_copy, run):
    for pipeline in ("train_oracle", "sample_oracle", "evaluate_oracle", "summarize"):
        run(finished_copy, pipeline)
    images = np.load(finished_copy / "data/03_primary/test/seed_0/oracle_normal/images.npy")
    assert len(images) == 100
    summary = pd.read_csv(
        finished_copy / "data/08_reporting/test/runs/default/summary.csv"
    ).set_index("method")
    assert list(summary.index) == ["unsupervised", "supervised", "pu", "oracle"]
    assert summary.loc["oracle", "nsr_note"] == "reference"
    assert not summary.loc["oracle", "nsr_bold"]


@pytest.mark.slow
def test_pnu_trains_on_labeled_normal_images_too(tmp_path, run):
    counts = {"counts": {"labeled_normal": 6}}
    for pipeline in ("train_classifier", "train_pnu", "sample_pnu", "evaluate_pnu"):
        run(tmp_path, pipeline, data=counts, objective={"gamma": 0.3})
    metrics = metrics_of(tmp_path, "pnu")
    assert metrics["settings"]["objective.gamma"] == 0.3
    (history,) = tmp_path.glob(f"{MODEL}/pnu/*/history.csv")
    assert (pd.read_csv(history)["labeled_normal_negative"] > 0).all()


def test_pnu_without_labeled_normal_images_is_refused(finished_copy, run):
    with pytest.raises(InvalidInput, match=r"data\.counts\.labeled_normal is 0; method pnu needs"):
        run(finished_copy, "train_pnu")


@pytest.mark.slow
def test_conditional_training_gives_a_rate_for_every_class_asked_for(tmp_path, run):
    run(tmp_path, data={"num_conditions": 10}, sampling={"guidance": 2.0, "num_images": 30})
    per_condition = metrics_of(tmp_path, "pu")["per_condition"]
    assert set(per_condition) == {str(number) for number in range(10)}
    assert all(rate["num_samples"] == 3 for rate in per_condition.values())
    (table,) = tmp_path.glob("data/02_intermediate/test/*/unlabeled.csv")
    assert list(pd.read_csv(table).columns) == ["position", "sha256", "condition"]


def test_too_few_conditions_for_the_source_are_refused(tmp_path, run):
    with pytest.raises(
        InvalidInput, match=r"data\.num_conditions must be at least 10 for this source, got 4"
    ):
        run(tmp_path, "data_engineering", data={"num_conditions": 4})


PRETRAINING = {"num_steps": 4, "learning_rate": 1e-3, "warmup_steps": 1, "seed": 0}


def test_fine_tuning_starts_from_the_pretrained_model_and_evaluates_it_too(tmp_path, run):
    run(tmp_path, "pretrain", pretraining=PRETRAINING)
    (base,) = tmp_path.glob(f"{MODEL}/base/*/model")
    run(tmp_path, "finetune", pretrained=str(base), training={"num_steps": 2})
    start = base / "unet/diffusion_pytorch_model.safetensors"
    (initial,) = tmp_path.glob(f"{MODEL}/initial/*/model/unet/diffusion_pytorch_model.safetensors")
    assert initial.read_bytes() == start.read_bytes()
    assert metrics_of(tmp_path, "pretrained")["training"]["num_steps"] == 0
    (manifest,) = tmp_path.glob(f"{MODEL}/pu/*/manifest.json")
    assert json.loads(manifest.read_text())["settings"]["pretrained"] == str(base)
    (report,) = tmp_path.glob("data/08_reporting/test/*/report.html")
    assert '<tr class="pretrained">' in report.read_text()


@pytest.mark.slow
def test_another_pretrained_model_in_the_same_place_is_noticed(tmp_path, run):
    run(tmp_path, "pretrain", pretraining=PRETRAINING)
    (base,) = tmp_path.glob(f"{MODEL}/base/*/model")
    run(tmp_path, "train_unsupervised", pretrained=str(base))
    run(tmp_path, "pretrain", pretraining={**PRETRAINING, "num_steps": 5})
    other = next(path for path in tmp_path.glob(f"{MODEL}/base/*/model") if path != base)
    shutil.rmtree(base)
    shutil.copytree(other, base)
    with pytest.raises(InvalidInput, match="from another initial model"):
        run(tmp_path, "train_unsupervised", pretrained=str(base))


def test_pretraining_and_the_pretrained_row_need_their_parameters(tmp_path, run):
    with pytest.raises(InvalidInput, match="pretraining is null"):
        run(tmp_path, "pretrain")
    with pytest.raises(InvalidInput, match="pretrained is null"):
        run(tmp_path, "sample_pretrained")


# --- all runs of a benchmark ----------------------------------------------------------------------


@pytest.mark.slow
def test_report_gathers_every_finished_run(finished_copy, run):
    run(finished_copy, seed=1)
    folder = finished_copy / "data/08_reporting/test/runs/default"
    assert len(pd.read_csv(folder / "runs.csv")) == 6
    assert pd.read_csv(folder / "summary.csv")["n"].tolist() == [2, 2, 2]
    assert "Missing runs" not in (folder / "summary.md").read_text()
    for pipeline in ("train_pu", "sample_pu", "evaluate_pu"):
        run(finished_copy, pipeline, seed=2, beta=0.2)
    run(finished_copy, "figure4", seed=1)
    assert (folder / "figure4.png").read_bytes()[:4] == b"\x89PNG"
    assert "<svg" in (folder / "figure4.svg").read_text()
    assert json.loads((folder / "figure4.json").read_text())["data"]
    text = (folder / "summary.md").read_text()
    assert (
        "kedro run --env=test --pipelines=train_supervised,sample_supervised,evaluate_supervised "
        "--params=seed:2" in text
    )
    run(finished_copy, "figure1")
    assert (finished_copy / f"data/08_reporting/test/{RUN}/figure1.png").is_file()


def test_runs_judged_by_another_judge_are_refused_in_one_table(finished_copy, run):
    path = finished_copy / f"{OUTPUT}/pu/{RUN}/metrics.json"
    record = json.loads(path.read_text())
    record["non_sensitive_rate"]["judge"]["weights_digest"] = "another"
    path.write_text(json.dumps(record))
    remember(path.with_name("metrics.claim.json"), path)
    with pytest.raises(InvalidInput, match=r"cannot stand in one table[\s\S]*judge_digest"):
        run(finished_copy, "summarize")


def test_class_prior_leaves_estimate_methods_curve_and_scores(finished_run):
    folder = finished_run / "data/04_feature/test/seed_0"
    record = json.loads((folder / "class_prior.json").read_text())
    assert {"estimate", "upper", "sampling_variability", "spread_of_methods", "warnings"} <= set(
        record
    )
    methods = pd.read_csv(folder / "methods.csv").set_index("method")["estimate"]
    assert methods["bbe_ratio"] == pytest.approx(record["estimate"])
    assert json.loads((folder / "ratio_curve.json").read_text())["data"]
    assert pd.read_parquet(folder / "scores.parquet").groupby("set").size().to_dict() == {
        "labeled_sensitive": 24, "unlabeled": 110
    }  # fmt: skip
