"""A folder belongs to the parameters it was made with."""

import shlex
from pathlib import Path

import pytest

from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.experiment.claims import (
    Claim,
    forget,
    refuse_changed,
    refuse_others,
    remember,
)

MADE_WITH = {"training.learning_rate": 0.002, "training.adam_betas": [0.9, 0.99], "beta": 0.1}


def claim(folder: Path, **changed: object) -> Claim:
    made_with = {**MADE_WITH, **{name.replace("__", "."): value for name, value in changed.items()}}
    return Claim(folder / "seed_0", "model", "pu", made_with)


def test_the_same_parameters_may_come_back(tmp_path):
    claim(tmp_path).take()
    assert claim(tmp_path).differences() == []
    refuse_others([claim(tmp_path)])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"training__learning_rate": 0.5}, r"training\.learning_rate: made with 0\.002, now 0\.5"),
        ({"beta": None}, r"beta: made with 0\.1, now None"),
        ({"noise__schedule": "linear"}, r"noise\.schedule: made with None, now 'linear'"),
    ],
)
def test_other_parameters_are_refused_naming_them_the_folder_and_both_ways_out(
    tmp_path, changed, message
):
    claim(tmp_path).take()
    with pytest.raises(InvalidInput, match=message) as refusal:
        refuse_others([claim(tmp_path, **changed)])
    text = str(refusal.value)
    assert "adam_betas" not in text
    assert text.startswith(str(tmp_path / "seed_0"))
    assert "--params" in text
    assert f"rm -r {tmp_path / 'seed_0'}" in text


def test_the_command_that_deletes_can_be_pasted(tmp_path):
    folder = tmp_path / "my project"
    folder.mkdir()
    claim(folder).take()
    with pytest.raises(InvalidInput) as refusal:
        refuse_others([claim(folder, beta=None)])
    _, _, command = str(refusal.value).rpartition("delete what was made: ")
    assert shlex.split(command) == ["rm", "-r", str(folder / "seed_0")]


def test_another_method_in_the_folder_is_refused(tmp_path):
    claim(tmp_path)._replace(method="unsupervised").take()
    with pytest.raises(InvalidInput, match="method: made with 'unsupervised', now 'pu'"):
        refuse_others([claim(tmp_path)])


def test_a_folder_without_a_claim_is_refused_by_name(tmp_path):
    with pytest.raises(InvalidInput, match="no claim: an earlier version") as refusal:
        refuse_others([claim(tmp_path)])
    assert str(tmp_path / "seed_0") in str(refusal.value)


def test_many_folders_and_differences_make_one_short_message(tmp_path):
    claims = []
    for number in range(30):
        one = claim(tmp_path / str(number))
        one.take()
        changed = {f"training__option_{number}": number}
        claims.append(claim(tmp_path / str(number), **changed))
    with pytest.raises(InvalidInput) as refusal:
        refuse_others(claims)
    lines = str(refusal.value).splitlines()
    assert len(lines) <= 6
    assert "30 folders, such as " in lines[0]
    assert "  and 27 more" in lines


NO_CLAIMS = ["", "{", "[]", '{"made_with"', "[" * 100_000]
NO_OBJECT = '{"stage": "model", "method": "pu", "made_with": 1}'


@pytest.mark.parametrize("content", [*NO_CLAIMS, NO_OBJECT])
def test_a_damaged_claim_is_refused_by_name(tmp_path, content):
    one = claim(tmp_path)
    one.take()
    one.path.write_text(content)
    with pytest.raises(InvalidInput, match=r"model\.claim\.json is damaged"):
        one.differences()


def test_two_stages_claim_one_folder_side_by_side(tmp_path):
    claim(tmp_path).take()
    other = claim(tmp_path, sampling__num_steps=30)._replace(stage="samples")
    other.take()
    refuse_others([claim(tmp_path), other])


@pytest.fixture(params=["file", "folder"])
def artifact(request, tmp_path) -> Path:
    """A claimed and finished file, or folder."""
    one = claim(tmp_path)
    one.take()
    path = one.folder / "artifact"
    if request.param == "folder":
        path.mkdir()
        (path / "part").write_text("content")
    else:
        path.write_text("content")
    remember(one.path, path)
    return path


def check(artifact: Path) -> None:
    refuse_changed(artifact.parent / "model.claim.json", artifact, "made by kedro run")


def test_an_artifact_that_is_as_it_was_saved_may_be_read(artifact):
    check(artifact)


@pytest.mark.parametrize("content", ["contenT", "conten", "", "content\n"])
def test_a_changed_artifact_is_refused_with_the_way_out(artifact, content):
    (artifact / "part" if artifact.is_dir() else artifact).write_text(content)
    with pytest.raises(InvalidInput, match="not what was saved there") as refusal:
        check(artifact)
    assert str(artifact) in str(refusal.value)
    assert "made by kedro run" in str(refusal.value)


@pytest.mark.parametrize("artifact", ["folder"], indirect=True)
def test_another_name_in_a_folder_is_a_change(artifact):
    (artifact / "part").rename(artifact / "other")
    with pytest.raises(InvalidInput, match="not what was saved there"):
        check(artifact)


@pytest.mark.parametrize("artifact", ["folder"], indirect=True)
def test_a_file_more_in_a_folder_is_a_change(artifact):
    (artifact / "new").write_text("")
    with pytest.raises(InvalidInput, match="not what was saved there"):
        check(artifact)


def test_an_artifact_that_is_being_written_is_not_finished(artifact):
    path = artifact.parent / "model.claim.json"
    forget(path, artifact)
    with pytest.raises(InvalidInput, match="was not finished"):
        check(artifact)
    remember(path, artifact)
    check(artifact)


def test_a_claim_with_other_parameters_knows_no_artifact(artifact, tmp_path):
    claim(tmp_path, beta=0.2).take()
    with pytest.raises(InvalidInput, match="was not finished"):
        check(artifact)


def test_a_claim_that_is_taken_again_keeps_the_digests(artifact, tmp_path):
    claim(tmp_path).take()
    check(artifact)
