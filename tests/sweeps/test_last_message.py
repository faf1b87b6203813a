"""What a failed task is said to have said."""

from pu_diffusion_pipeline.sweeps.execution import last_message


def test_the_message_of_a_task_is_of_its_last_call(tmp_path):
    log = tmp_path / "log"
    log.write_text("$ kedro run\nError: no disk\n$ kedro run\nworking\n")
    assert last_message(log) == "working"
    log.write_text("$ kedro run\nworking\nError: no disk\nsee --params\n")
    assert last_message(log) == "Error: no disk\nsee --params"
