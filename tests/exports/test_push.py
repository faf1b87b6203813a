"""`kedro export --push`, with a stand-in for the hub."""

from pathlib import Path

import pytest

from exports.conftest import refusal, typed
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.exports.command import ExportRequest, export_model
from pu_diffusion_pipeline.exports.push import listing, refuse_missing_token, upload

PUSH = ("--env=test", "--license=mit", "--push=team/digits")


class Hub:
    """Notes what it is sent."""

    def __init__(self, refuse: Exception | None = None) -> None:
        self.refuse = refuse
        self.repositories: list[tuple[str, bool]] = []
        self.sent: list[tuple[str, set[str]]] = []

    def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> None:
        if self.refuse is not None:
            raise self.refuse
        assert exist_ok
        self.repositories.append((repo_id, private))

    def upload_folder(self, *, repo_id: str, folder_path: str, commit_message: str) -> None:
        assert commit_message
        self.sent.append((repo_id, {path.name for path in Path(folder_path).rglob("*")}))


@pytest.fixture
def logged_in(monkeypatch) -> None:
    monkeypatch.setattr("huggingface_hub.get_token", lambda: "a token")


@pytest.fixture
def no_hub(monkeypatch) -> None:
    """A hub that must not be called."""
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: pytest.fail("the hub was called"))


def test_the_folder_is_sent_to_a_private_repository(in_project, tmp_path, logged_in, no_hub):
    hub, said = Hub(), []
    request = ExportRequest(tmp_path / "out", "test", {}, "pu", "mit", "team/digits", False)
    export_model(request, in_project, said.append, hub)
    assert hub.repositories == [("team/digits", True)]
    ((repository, names),) = hub.sent
    assert repository == "team/digits"
    assert {"README.md", "samples.png", "diffusion_pytorch_model.safetensors"} <= names
    assert 'from_pretrained("team/digits")' in (tmp_path / "out/README.md").read_text()
    assert said[-1].startswith("Uploaded to https://huggingface.co/team/digits")


def test_the_real_client_has_the_calls_that_are_made():
    import inspect

    from huggingface_hub import HfApi

    inspect.signature(HfApi.create_repo).bind(None, "team/digits", private=True, exist_ok=True)
    inspect.signature(HfApi.upload_folder).bind(
        None, repo_id="team/digits", folder_path="out", commit_message="Add out"
    )


def test_a_dry_run_lists_the_files_and_sends_nothing(in_project, tmp_path, no_hub):
    result = typed("export", str(tmp_path / "out"), *PUSH, "--dry-run")
    assert result.exit_code == 0, result.output
    assert "Nothing was sent to team/digits" in result.output
    size = (tmp_path / "out/README.md").stat().st_size
    assert f"{size:,} bytes  README.md" in result.output
    assert "6 files" in result.output


def test_sizes_are_those_of_the_files(exported):
    *lines, total = listing(exported)
    sizes = {line.split()[2]: int(line.split()[0].replace(",", "")) for line in lines}
    assert sizes == {name: (exported / name).stat().st_size for name in sizes}
    assert int(total.split()[0].replace(",", "")) == sum(sizes.values())


def test_without_a_token_nothing_is_written(in_project, tmp_path, monkeypatch, no_hub):
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    assert "hf auth login" in refusal("export", str(tmp_path / "out"), *PUSH)
    assert not (tmp_path / "out").exists()


def test_a_token_is_enough(logged_in):
    refuse_missing_token()


@pytest.mark.parametrize(
    "error", [ConnectionError("Name or service not known\nmore"), PermissionError("403 Forbidden")]
)
def test_a_failed_upload_says_why_and_where_the_folder_is(error, tmp_path):
    with pytest.raises(InvalidInput) as refused:
        upload(tmp_path / "out", "team/digits", Hub(error))
    message = str(refused.value)
    assert type(error).__name__ in message
    assert str(error).split("\n")[0] in message
    assert "more" not in message
    assert f"hf upload team/digits {tmp_path / 'out'}" in message
