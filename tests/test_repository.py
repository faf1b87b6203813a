"""What the repository says of itself: metadata, make targets, workflows, links of the docs."""

import re
import runpy
import shutil
import subprocess
import sys
from importlib.metadata import metadata

import pytest
import yaml

import pu_diffusion_pipeline as library
from conftest import REPO
from pu_diffusion_pipeline import __version__
from pu_diffusion_pipeline.diffusion.methods import METHODS
from pu_diffusion_pipeline.diffusion.options import SamplingOptions
from pu_diffusion_pipeline.diffusion.samplers import SAMPLERS
from pu_diffusion_pipeline.images.sources import SOURCES
from pu_diffusion_pipeline.metrics.registry import METRICS
from pu_diffusion_pipeline.positive_unlabeled.estimators import ESTIMATORS
from pu_diffusion_pipeline.training.options import TrainingOptions

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PACKAGE = REPO / "src/pu_diffusion_pipeline"
DATA_FILES = sorted(
    path.relative_to(PACKAGE).as_posix()
    for path in PACKAGE.rglob("*")
    if path.is_file() and path.suffix != ".pyc" and path.suffix != ".py"
)
PAGES = sorted(
    path for path in [*REPO.glob("*.md"), *REPO.glob("docs/**/*.md"), *REPO.glob(".github/**/*.md")]
)
MAKEFILE = (REPO / "Makefile").read_text()
WORKFLOWS = sorted(REPO.glob(".github/workflows/*.yml"))
SCREENSHOTS = str(REPO / "docs/site/screenshots.py")
TITLE = "Positive-Unlabeled Diffusion Models for Preventing Sensitive Data Generation"


def project() -> dict:
    """The table `project` of pyproject.toml."""
    return pyproject()["project"]


def pyproject() -> dict:
    """All of pyproject.toml."""
    return tomllib.loads((REPO / "pyproject.toml").read_text())


def make_targets() -> dict[str, str | None]:
    """Each target of the Makefile that a user may call, with its help text."""
    rules = re.findall(r"^([a-z][a-z-]*):(?!=)(?:[^\n#]*)(?:##[ ]*(.+))?$", MAKEFILE, re.MULTILINE)
    return {name: text or None for name, text in rules}


def citation() -> dict:
    """CITATION.cff."""
    return yaml.safe_load((REPO / "CITATION.cff").read_text())


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def commands(workflow: dict) -> list[str]:
    """What the steps of a workflow run."""
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    return [step["run"] for step in steps if "run" in step]


def test_no_extra_is_empty():
    extras = project()["optional-dependencies"]
    assert all(extras.values()), extras


def test_the_development_extra_holds_the_others():
    """Not `text`: where it is installed, every program that uses diffusers imports it as well."""
    extras = project()["optional-dependencies"]
    assert set(extras.pop("text")).isdisjoint(extras["dev"])
    assert all(set(needed) <= set(extras["dev"]) for needed in extras.values())


def test_everything_that_make_install_needs_directly_is_pinned():
    pinned = {
        re.split(r"==", line)[0].lower().replace("_", "-")
        for line in (REPO / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    needed = [*project()["dependencies"], *project()["optional-dependencies"]["dev"]]
    names = {re.split(r"[<>=!~\[; ]", line)[0].lower().replace("_", "-") for line in needed}
    assert names - pinned == set()


def test_classifiers_name_the_versions_of_python_that_ci_tests():
    prefix = "Programming Language :: Python :: 3."
    named = {
        name.removeprefix(prefix) for name in project()["classifiers"] if name.startswith(prefix)
    }
    workflow = yaml.safe_load((REPO / ".github/workflows/ci.yml").read_text())
    tested = workflow["jobs"]["test"]["strategy"]["matrix"]["python-version"]
    assert {f"3.{minor}" for minor in named} == set(tested)
    assert project()["requires-python"] == f">={tested[0]}"


def test_every_data_file_of_the_package_is_shipped():
    patterns = pyproject()["tool"]["setuptools"]["package-data"]["pu_diffusion_pipeline"]
    shipped = {
        path.relative_to(PACKAGE).as_posix()
        for pattern in patterns
        for path in PACKAGE.glob(pattern)
    }
    assert set(DATA_FILES) == shipped
    assert "py.typed" in shipped


def test_the_installed_package_knows_its_license_and_paper():
    installed = metadata("pu_diffusion_pipeline")
    assert installed["Version"] == __version__
    assert installed["License-Expression"] == citation()["license"]


def test_the_citation_names_the_paper_and_this_version():
    cited = citation()
    assert cited["cff-version"] == "1.2.0"
    assert cited["version"] == __version__
    assert {"message", "title", "authors"} <= set(cited)
    paper = cited["preferred-citation"]
    assert paper["title"] == TITLE
    assert paper["url"] == project()["urls"]["Paper"]
    assert all({"family-names", "given-names"} <= set(author) for author in paper["authors"])


def test_every_make_target_is_phony_and_has_a_help_text():
    targets = make_targets()
    phony = re.search(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE).group(1).split()
    assert set(targets) == set(phony)
    assert [name for name, text in targets.items() if text is None] == []


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_help_lists_every_target():
    command = ["make", "--no-print-directory", "help"]  # `make test` may be who runs us
    shown = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=True)
    assert {line.split()[1] for line in shown.stdout.splitlines()} == set(make_targets())


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_run_make_targets_that_exist(path):
    for command in commands(yaml.safe_load(path.read_text())):
        program, target, *variables = command.split()
        assert program == "make"
        assert target in make_targets()
        assert all("=" in variable for variable in variables)


def test_ci_covers_what_the_local_ci_script_runs():
    script = re.findall(r"^make (\S+)$", (REPO / ".ci/run").read_text(), re.MULTILINE)
    workflow = yaml.safe_load((REPO / ".github/workflows/ci.yml").read_text())
    assert set(script) <= {command.split()[1] for command in commands(workflow)}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(REPO).as_posix())
def test_make_targets_in_the_documentation_exist(path):
    text = path.read_text()
    code = re.findall(r"`(make [^`]+)`", text) + re.findall(r"^(make .+)$", text, re.MULTILINE)
    named = [word for line in code for word in line.split("#")[0].split()[1:] if "=" not in word]
    assert set(named) - set(make_targets()) == set()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(REPO).as_posix())
def test_links_in_the_documentation_lead_somewhere(path):
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        page = (path.parent / name).resolve() if name else path
        assert page.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
            assert anchor in {slug(heading) for heading in headings}, target


def test_every_picture_of_the_documentation_is_shown_with_a_text():
    pictures = sorted(path.name for path in (REPO / "docs/images").glob("*"))
    assert pictures == sorted(f"{name}.png" for name in runpy.run_path(SCREENSHOTS)["NAMES"])
    shown = "".join(path.read_text() for path in PAGES)
    for name in pictures:
        (text,) = re.findall(rf"!\[([^]]+)\]\(\s*\S*images/{name}\)", shown)
        assert len(text) > 20
        assert (REPO / "docs/images" / name).stat().st_size <= 150_000


def test_the_first_minute_runs_commands_of_the_readme():
    readme = (REPO / "README.md").read_text()
    page = (REPO / "docs/first_minute.md").read_text()
    run = re.findall(r"^\$ (.+)$", page, re.MULTILINE)
    assert len(run) == 2
    known = re.findall(r"^(kedro .+?)(?: +#.*)?$", readme, re.MULTILINE)
    assert set(run) <= set(known)


def test_messages_that_the_questions_quote_are_in_the_code():
    code = " ".join(path.read_text() for path in sorted((REPO / "src").rglob("*.py")))
    code = re.sub(r'"\s+f?"', "", code)  # texts that go on in the next line
    quoted = re.findall(r"^\*\*`([^`]+)`", (REPO / "docs/faq.md").read_text(), re.MULTILINE)
    assert len(quoted) >= 5
    for message in quoted:
        for part in re.split(r"\.\.\.|estimated", message):
            assert part.strip(" :'") in code, part


@pytest.mark.parametrize("form", ["bug", "question_or_feature"])
def test_issue_forms_have_a_name_and_questions(form):
    parsed = yaml.safe_load((REPO / f".github/ISSUE_TEMPLATE/{form}.yml").read_text())
    assert {"name", "description", "body"} <= set(parsed)
    names = [question["id"] for question in parsed["body"]]
    assert len(names) == len(set(names)) > 0


def test_pre_commit_and_the_environment_use_the_same_ruff():
    hooks = yaml.safe_load((REPO / ".pre-commit-config.yaml").read_text())["repos"]
    [version] = [entry["rev"] for entry in hooks if "ruff-pre-commit" in entry["repo"]]
    assert f"ruff=={version.removeprefix('v')} " in (REPO / "constraints.txt").read_text()


def test_own_warnings_are_errors(tmp_path):
    (tmp_path / "pu_diffusion_pipeline_stand_in.py").write_text(
        "import warnings\ndef warn(kind):\n    warnings.warn('text', kind)\n"
    )
    (tmp_path / "test_it.py").write_text(
        "import pytest\nfrom pu_diffusion_pipeline_stand_in import warn\n"
        "@pytest.mark.parametrize('kind', [UserWarning, DeprecationWarning, FutureWarning])\n"
        "def test_warning_is_raised(kind):\n    with pytest.raises(kind):\n        warn(kind)\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-c", str(REPO / "pyproject.toml"),
               f"--rootdir={tmp_path}", f"--override-ini=pythonpath={tmp_path}",
               "-p", "no:cacheprovider", "--confcutdir", str(tmp_path), str(tmp_path)]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "3 passed" in done.stdout, done.stdout


def test_the_parameter_reference_names_every_parameter_with_its_comment():
    site = runpy.run_path(str(REPO / "docs/site/build.py"))
    page, said = site["parameters_page"](), site["comments"]()
    for section, options in (("training", TrainingOptions), ("sampling", SamplingOptions)):
        assert f"## {section}" in page
        for name in options.model_fields:
            assert f"| `{name}` |" in page
    assert said["training.micro_batches"].startswith("parts in which a batch is computed")
    assert said["seed"].startswith("of the split into U and S")
    assert len(said) > 80


def test_the_page_for_extenders_names_every_registered_thing():
    page = runpy.run_path(str(REPO / "docs/site/build.py"))["extending_page"]()
    for registry in (METHODS, SAMPLERS, METRICS, ESTIMATORS, SOURCES):
        assert [name for name in registry if f"`{name}`" not in page] == []


def test_the_library_page_has_every_exported_name():
    site = runpy.run_path(str(REPO / "docs/site/build.py"))
    page = site["library_page"]()
    assert [f"## {name}" in page for name in library.__all__] == [True] * len(library.__all__)
