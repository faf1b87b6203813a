"""Which code a training ran through."""

import shutil
from pathlib import Path

import pytest

from pu_diffusion_pipeline.training import code_identity
from pu_diffusion_pipeline.training.code_identity import (
    PACKAGE,
    code_digests,
    differing_modules,
    running_code,
)


@pytest.fixture
def package(tmp_path) -> Path:
    """A copy of the package that a test may edit."""
    copy = tmp_path / "package"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def changed(package: Path) -> list[str]:
    return differing_modules(code_digests(), code_digests(package))


def test_a_process_names_the_code_that_it_imported_not_what_was_edited_since(monkeypatch):
    imported = running_code()
    monkeypatch.setattr(code_identity, "code_digests", lambda: {"edited": "since"})
    assert running_code() == imported == code_digests()


def test_code_that_training_does_not_run_through_does_not_count(package):
    for name in ("reports/tables.py", "metrics/judge.py", "cli.py", "diffusion/options.py"):
        (package / name).write_text("changed = True\n")
    assert changed(package) == []


@pytest.mark.parametrize(
    "source",
    ["training/loop.py", "positive_unlabeled/risk.py", "images/transforms.py", "seeding.py"],
)
def test_a_module_that_does_something_else_is_named(source, package):
    (package / source).write_text((package / source).read_text() + "\nchanged = True\n")
    assert changed(package) == [source]


def test_comments_docstrings_and_layout_do_not_count(package):
    path = package / "seeding.py"
    text = path.read_text().replace('"""Mix `seed`', '"""Blend `seed`')
    assert text != path.read_text()
    path.write_text("# A remark.\n" + text.replace("    return", "\n    return"))
    assert changed(package) == []


def test_a_module_that_only_one_side_has_is_named(package):
    (package / "training" / "extra.py").write_text("pass\n")
    assert changed(package) == ["training/extra.py"]


def test_a_digest_is_the_same_in_every_version_of_python():
    source = (
        "class A:\n    x: int = None\n\n    def f(self, *a, b=1):\n        return f'{a!r:>3} {b}'\n"
    )
    assert code_identity._digest(source)[:16] == "c6d25791f4ab6d38"
