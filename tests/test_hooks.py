"""What is refused before the first node, and artifacts that somebody has put there."""

import json
import os
import shutil
import threading

import numpy as np
import pytest
from kedro.framework.project import pipelines

from pu_diffusion_pipeline import hooks
from pu_diffusion_pipeline.diffusion.options import ComputeOptions
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.experiment.locks import hold
from pu_diffusion_pipeline.experiment.requirements import refuse_missing_device
from pu_diffusion_pipeline.terminal import _next_commands

MODEL = "data/06_models/test"
OUTPUT = "data/07_model_output/test"
PU = "pu/beta_0.1-seed_0"


@pytest.fixture
def finished_copy(finished_run, tmp_path):
    shutil.copytree(finished_run, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.mark.parametrize(
    ("device", "precision", "message"),
    [("cuda", "auto", "this machine has none"), ("cpu", "fp16", "fp16 needs a GPU")],
)
def test_a_device_that_is_not_there_is_refused_before_the_first_node(device, precision, message):
    options = ComputeOptions(device=device, precision=precision, channels_last=False, compile=False)
    with pytest.raises(InvalidInput, match=message):
        refuse_missing_device(options)


def test_the_first_node_does_not_run_where_the_device_is_missing(tmp_path, run):
    with pytest.raises(InvalidInput, match=r"compute\.precision fp16"):
        run(tmp_path, "train_pu", compute={"precision": "fp16"})
    assert list(tmp_path.iterdir()) == []


def test_weights_of_another_method_are_refused(finished_copy, run):
    name = "model/unet/diffusion_pytorch_model.safetensors"
    shutil.copy(
        finished_copy / MODEL / "supervised/seed_0" / name, finished_copy / MODEL / PU / name
    )
    with pytest.raises(InvalidInput, match=r"model is not what was saved there .*sample_pu|train_"):
        run(finished_copy, "sample_pu")


def test_samples_of_another_method_are_refused_with_their_claim(finished_copy, run):
    output = finished_copy / OUTPUT
    shutil.rmtree(output / PU)
    shutil.copytree(output / "unsupervised/seed_0", output / PU)
    with pytest.raises(InvalidInput, match="method: made with 'unsupervised', now 'pu'"):
        run(finished_copy, "evaluate_pu")


def test_edited_images_are_refused(finished_copy, run):
    path = finished_copy / OUTPUT / PU / "samples/images.npy"
    np.save(path, 255 - np.load(path))
    with pytest.raises(InvalidInput, match="samples is not what was saved there") as refusal:
        run(finished_copy, "evaluate_pu")
    assert "made by kedro run --pipeline=sample_pu" in str(refusal.value)


def test_metrics_of_any_run_that_were_edited_are_refused(finished_copy, run):
    path = finished_copy / OUTPUT / "supervised/seed_0/metrics.json"
    path.write_text(path.read_text() + "\n")
    with pytest.raises(
        InvalidInput, match=r"supervised/seed_0/metrics\.json is not what was saved"
    ):
        run(finished_copy, "summarize")


def test_an_artifact_whose_saving_was_stopped_is_refused(finished_copy, run):
    path = finished_copy / OUTPUT / PU / "samples.claim.json"
    claim = json.loads(path.read_text())
    del claim["digests"]["samples"]
    path.write_text(json.dumps(claim))
    with pytest.raises(InvalidInput, match="samples was not finished"):
        run(finished_copy, "evaluate_pu")
    run(finished_copy, "sample_pu")
    run(finished_copy, "evaluate_pu")


def test_a_folder_that_a_kill_left_half_replaced_is_whole_again(finished_copy, run):
    samples = finished_copy / OUTPUT / PU / "samples"
    before = (samples / "images.npy").read_bytes()
    from pu_diffusion_pipeline.atomic_write import _host

    samples.rename(samples.with_name(f".old-{_host()}-999999999-01234567-samples"))
    litter = samples.with_name(f".tmp-{_host()}-999999999-01234567-samples")
    litter.mkdir()
    run(finished_copy, "evaluate_pu")
    assert (samples / "images.npy").read_bytes() == before
    assert not litter.exists()


def test_saved_models_do_not_hold_the_path_they_were_made_at(finished_run):
    texts = [path.read_text() for path in finished_run.rglob("model/**/*.json")]
    assert texts
    assert not [text for text in texts if str(finished_run) in text]


def test_a_run_waits_for_another_one_that_works_in_its_folder(finished_copy, run):
    folder = finished_copy / OUTPUT / PU
    ended = []

    def evaluate():
        run(finished_copy, "evaluate_pu")
        ended.append(True)

    with hold(folder, "wait", is_shared=False):
        other = threading.Thread(target=evaluate)
        other.start()
        other.join(2)
        assert not ended
    other.join(60)
    assert ended


def test_a_run_leaves_where_it_is_told_to(finished_copy, run):
    folder = finished_copy / OUTPUT / PU
    with (
        hold(folder, "wait", is_shared=False),
        pytest.raises(InvalidInput, match=f"Another run works in .*process {os.getpid()} "),
    ):
        run(finished_copy, "evaluate_pu", folder_locks="leave")
    run(finished_copy, "evaluate_pu", folder_locks="leave")


def test_what_was_claimed_while_a_run_waited_is_not_overwritten(
    tmp_path, finished_run, run, monkeypatch
):
    """Two runs with other parameters and one folder: the second finds the first one's claim."""

    def meet_another(folder, policy, *, is_shared):
        if not (tmp_path / "data").exists():
            shutil.copytree(finished_run / "data", tmp_path / "data")
            for path in tmp_path.rglob("source.claim.json"):
                path.write_text(path.read_text().replace('image_size": 16', 'image_size": 8'))
        return hold(folder, policy, is_shared=is_shared)

    monkeypatch.setattr(hooks, "hold", meet_another)
    with pytest.raises(InvalidInput, match=r"data\.image_size: made with 8, now 16"):
        run(tmp_path, "data_engineering")


STATUS = ".viz/kedro_pipeline_events.json"


def told(folder, event: str, field: str) -> list[str]:
    """What kedro-viz was told of the events of a kind."""
    return [
        one[field] for one in json.loads((folder / STATUS).read_text()) if one["event"] == event
    ]


def test_kedro_viz_is_told_how_a_whole_run_went(finished_run):
    names = {node.name for node in pipelines["__default__"].nodes}
    assert set(told(finished_run, "after_node_run", "node")) == names
    assert set(told(finished_run, "after_node_run", "status")) == {"success"}
    assert told(finished_run, "after_pipeline_run", "timestamp")


def test_kedro_viz_is_told_which_node_failed(tmp_path, run, monkeypatch):
    def fail(*_):
        raise InvalidInput("the disk is on fire")

    monkeypatch.setattr("pu_diffusion_pipeline.pipelines.data_engineering.nodes.split_index", fail)
    with pytest.raises(InvalidInput, match="on fire"):
        run(tmp_path, "recommended")
    assert "data_engineering.index_source" in told(tmp_path, "after_node_run", "node")
    assert told(tmp_path, "on_node_error", "node") == ["data_engineering.split_source"]
    for event in ("on_node_error", "on_pipeline_error"):
        assert told(tmp_path, event, "error") == ["the disk is on fire"]


def test_a_part_of_a_run_leaves_what_kedro_viz_was_told(finished_copy, run):
    before = (finished_copy / STATUS).read_bytes()
    run(finished_copy, "evaluate_pu")
    assert (finished_copy / STATUS).read_bytes() == before


def test_a_failed_run_holds_no_lock(finished_copy, run):
    path = finished_copy / OUTPUT / PU / "samples/images.npy"
    content = path.read_bytes()
    path.write_bytes(b"")
    with pytest.raises(InvalidInput):
        run(finished_copy, "evaluate_pu")
    path.write_bytes(content)
    run(finished_copy, "evaluate_pu", folder_locks="leave")


@pytest.mark.parametrize(("given", "conditional", "expected"), [
    ({}, False, ["viz run", "run --pipeline=frontier", "export my-model"]),
    ({}, True, ["viz run", "export my-model"]),
    (
        {"seed": 1},
        False,
        [
            "viz run --params=seed=1",
            "run --pipeline=frontier --params=seed:1",
            "export --params=seed:1 my-model",
        ],
    ),
    (
        {"seed": 1, "guiding": {"timesteps": [0, 500]}},
        False,
        [
            "viz run",
            "run --pipeline=frontier '--params=seed:1,guiding.timesteps:[0,500]'",
            "export '--params=seed:1,guiding.timesteps:[0,500]' my-model",
        ],
    ),
])  # fmt: skip
def test_what_to_type_next_is_about_the_same_run(given, conditional, expected):
    found = _next_commands("local", given, is_conditional=conditional)
    assert [command for command, _ in found] == [f"kedro {one}" for one in expected]


def test_after_a_report_the_log_says_what_to_type_next(finished_copy, run, caplog):
    with caplog.at_level("INFO", "pu_diffusion_pipeline"):
        run(finished_copy, "report")
    said = [line for line in caplog.messages if line.startswith("Next: ")]
    assert [line.split("  ")[0] for line in said] == [
        "Next: kedro viz run --env=test",
        "Next: kedro run --env=test --pipeline=frontier",
        "Next: kedro export --env=test my-model",
    ]
    caplog.clear()
    with caplog.at_level("INFO", "pu_diffusion_pipeline"):
        run(finished_copy, "evaluate_pu")
    assert not [line for line in caplog.messages if line.startswith("Next: ")]
