import contextlib
import hashlib
import io
import json
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import pu_diffusion_pipeline
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.training.checkpoints import CheckpointStore

CODE = {"training/loop.py": "1", "positive_unlabeled/risk.py": "2"}
OTHER_CODE = {**CODE, "training/loop.py": "3"}


def state(step: int, finished: bool = False) -> dict:
    return {
        "step": step,
        "finished": finished,
        "denoiser": {"weight": torch.full((3,), float(step))},
    }


@pytest.fixture
def store(tmp_path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "run" / "checkpoints")


def names(store: CheckpointStore) -> list[str]:
    return sorted(path.name for path in store.folder.iterdir())


def claim(store: CheckpointStore, data="images", code=CODE) -> None:
    store.claim(data, code)


# --- saving and reading ---------------------------------------------------------------------------


def test_the_newest_state_comes_back_whole(store):
    for step in (9, 10, 100):
        store.save(state(step))
    latest = store.latest()
    assert latest["step"] == 100
    assert latest["finished"] is False
    assert torch.equal(latest["denoiser"]["weight"], torch.full((3,), 100.0))


def test_a_store_without_states_has_no_latest(store):
    assert store.latest() is None


def test_only_the_newest_two_are_kept_and_nothing_else_lies_around(store):
    claim(store)
    for step in (2, 4, 6, 8):
        store.save(state(step))
    expected = [
        "claim.json",
        "step_00000006.pt",
        "step_00000006.sha256",
        "step_00000008.pt",
        "step_00000008.sha256",
    ]
    assert names(store) == expected


def cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def lose_its_digest(path: Path) -> None:
    path.with_suffix(".sha256").unlink()


def garble_its_digest(path: Path) -> None:
    path.with_suffix(".sha256").write_bytes(b"\xff\xfe\x00")


def put_a_folder_in_the_place_of_its_digest(path: Path) -> None:
    lose_its_digest(path)
    path.with_suffix(".sha256").mkdir()


@pytest.mark.parametrize(
    "damage",
    [
        cut_in_half,
        flip_a_bit,
        lose_its_digest,
        garble_its_digest,
        put_a_folder_in_the_place_of_its_digest,
    ],
)
def test_a_damaged_state_is_passed_over_with_a_warning_and_the_one_before_is_used(
    store, damage, caplog
):
    store.save(state(2))
    store.save(state(4))
    damage(store.folder / "step_00000004.pt")
    assert store.latest()["step"] == 2
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1
    assert "step_00000004.pt" in warnings[0]
    store.save(state(4))
    assert store.latest()["step"] == 4


def test_without_any_whole_state_training_starts_anew(store):
    for step in (2, 4):
        store.save(state(step))
        cut_in_half(store.folder / f"step_{step:08d}.pt")
    assert store.latest() is None


def test_a_write_that_fails_leaves_the_states_as_they_were(store):
    store.save(state(2))
    before = names(store)
    with pytest.raises(Exception, match=r"pickle|lambda"):
        store.save({**state(4), "history": lambda: None})
    assert names(store) == before
    assert store.latest()["step"] == 2


KILLED_WHILE_WRITING = """
import os, signal, sys
import torch
from pu_diffusion_pipeline.training.checkpoints import CheckpointStore

def write_half(state, file):
    file.write(b"half of a checkpoint")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)

store = CheckpointStore(sys.argv[1])
store.save({"step": 2, "finished": False})
torch.save = write_half
store.save({"step": 4, "finished": False})
"""


@pytest.fixture
def killed_while_writing(store) -> CheckpointStore:
    """A store whose process was killed in the middle of writing step 4."""
    source = str(Path(pu_diffusion_pipeline.__file__).parents[1])
    command = [sys.executable, "-c", KILLED_WHILE_WRITING, str(store.folder)]
    process = subprocess.run(command, env={**os.environ, "PYTHONPATH": source}, timeout=120)
    assert process.returncode == -signal.SIGKILL
    return store


def test_a_process_killed_while_writing_leaves_the_state_before(killed_while_writing):
    assert killed_while_writing.latest()["step"] == 2
    killed_while_writing.save(state(4))
    assert killed_while_writing.latest()["step"] == 4


def test_what_a_killed_process_left_half_written_is_cleared_away_by_the_next_save(
    killed_while_writing,
):
    killed_while_writing.save(state(4))
    expected = [f"step_{step:08d}.{kind}" for step in (2, 4) for kind in ("pt", "sha256")]
    assert names(killed_while_writing) == expected


@pytest.mark.parametrize("orphan", ["step_00000001.sha256", "step_00000009.sha256"])
def test_a_digest_without_its_state_is_cleared_away_when_the_training_goes_on(store, orphan):
    claim(store)
    store.save(state(2))
    (store.folder / orphan).write_text("of a state that was deleted, or not written yet")
    claim(store)
    assert names(store) == ["claim.json", "step_00000002.pt", "step_00000002.sha256"]


def put(store: CheckpointStore, content: bytes) -> None:
    """A state of step 4 that holds `content`; its digest is right."""
    path = store.folder / "step_00000004.pt"
    path.write_bytes(content)
    path.with_suffix(".sha256").write_text(hashlib.sha256(content).hexdigest())


def as_torch_writes(content: object, **options) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


@pytest.mark.parametrize(
    "written",
    [
        as_torch_writes,
        lambda content: as_torch_writes(content, _use_new_zipfile_serialization=False),
        pickle.dumps,
    ],
)
def test_files_of_python_objects_are_not_unpickled(store, tmp_path, written):
    marker = tmp_path / "executed"
    hostile = written({**state(4), "history": Payload(marker)})
    store.save(state(2))
    put(store, hostile)
    with pytest.raises(InvalidInput, match="is no checkpoint") as refusal:
        store.latest()
    assert str(store.folder / "step_00000004.pt") in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1
    assert not marker.exists()
    with contextlib.suppress(RuntimeError):  # torch does not take a bare pickle, but opens it
        torch.load(store.folder / "step_00000004.pt", weights_only=False)
    assert marker.exists(), "the file would have done harm"


@pytest.mark.parametrize(
    "content",
    [b"", b"no archive", as_torch_writes([1, 2]), as_torch_writes({"step": 4})],
    ids=["empty", "text", "a list", "no finished"],
)
def test_a_whole_file_that_is_no_state_is_refused_naming_it(store, content):
    store.save(state(2))
    put(store, content)
    with pytest.raises(InvalidInput, match=r"step_00000004.pt is no checkpoint.* Delete it"):
        store.latest()


def test_a_folder_with_the_name_of_a_state_is_none(store):
    (store.folder / "step_00000001.pt").mkdir(parents=True)
    for step in (2, 4, 6):
        store.save(state(step))
    assert store.latest()["step"] == 6


# --- claiming -------------------------------------------------------------------------------------


def test_the_same_run_may_come_back(store):
    claim(store)
    store.save(state(2))
    claim(store)
    assert store.latest()["step"] == 2


@pytest.mark.parametrize("finished", [False, True])
def test_other_images_are_refused_naming_the_folder_to_delete(store, finished):
    claim(store)
    store.save(state(2, finished))
    with pytest.raises(InvalidInput, match="other images") as refusal:
        claim(store, data="other images")
    assert str(store.folder.parent) in str(refusal.value)
    assert store.latest()["step"] == 2


def test_an_unfinished_run_is_not_continued_by_other_code(store):
    claim(store)
    store.save(state(2))
    with pytest.raises(InvalidInput, match=r"interrupted at step 2 under other code") as refusal:
        claim(store, code=OTHER_CODE)
    assert "(training/loop.py)" in str(refusal.value), "the module that differs, and no other"
    assert store.latest()["step"] == 2
    claim(store)  # the claim is still the first one


def test_a_finished_run_is_made_anew_by_other_code(store):
    claim(store)
    store.save(state(6, finished=True))
    claim(store, code=OTHER_CODE)
    assert store.latest() is None
    store.save(state(2))
    claim(store, code=OTHER_CODE)
    assert store.latest()["step"] == 2


def test_a_folder_that_is_claimed_but_holds_no_state_may_be_taken_by_another_run(store):
    claim(store)
    claim(store, data="other images", code=OTHER_CODE)
    made = json.loads((store.folder / "claim.json").read_text())
    assert made == {"data_digest": "other images", "code_digests": OTHER_CODE, "beta": None}


def test_states_without_a_claim_are_not_taken_over(store):
    store.save(state(2))
    with pytest.raises(InvalidInput, match="claim"):
        claim(store)
    assert store.latest()["step"] == 2


@pytest.mark.parametrize(
    "old",
    [
        {"settings": {"beta": 0.1}, "data_digest": "images", "code_digest": "code"},
        {"settings": {"beta": 0.1}, "data_digest": "images", "code_digest": CODE},
    ],
)
@pytest.mark.parametrize("finished", [False, True])
def test_a_claim_of_an_earlier_version_is_refused_naming_the_folder_to_delete(store, old, finished):
    store.save(state(2, finished))
    (store.folder / "claim.json").write_text(json.dumps(old))
    with pytest.raises(InvalidInput, match="made by an earlier version") as refusal:
        claim(store)
    assert f"delete {store.folder.parent}" in str(refusal.value)
    assert store.latest()["step"] == 2


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"{}",
        b'{"data_digest": "images", "code_digests": null}',
    ],
)
def test_a_damaged_claim_is_refused_naming_it_and_the_folder_to_delete(store, content):
    store.save(state(2))
    (store.folder / "claim.json").write_bytes(content)
    with pytest.raises(InvalidInput, match=r"claim.json is damaged") as refusal:
        claim(store)
    assert f"delete {store.folder.parent}" in str(refusal.value)
    assert store.latest()["step"] == 2


def test_a_folder_in_the_place_of_a_claim_is_no_claim(store):
    store.save(state(2))
    (store.folder / "claim.json").mkdir()
    with pytest.raises(InvalidInput, match=r"no claim.json"):
        claim(store)


def test_a_refusal_names_five_modules_and_counts_the_others(store):
    claim(store)
    store.save(state(2))
    many = {**CODE, **{f"images/{number}.py": "new" for number in range(7)}}
    with pytest.raises(InvalidInput, match=r"images/0.py, .*images/4.py and 2 more\)"):
        claim(store, code=many)
