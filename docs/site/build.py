"""Build the documentation site: python docs/site/build.py [FOLDER]

The Markdown pages stay where they are; a copy of them, with the pages that are made from the code
(parameters, library), becomes HTML in FOLDER (build/site). A link that leads nowhere ends it.
"""

import inspect
import os
import re
import shutil
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml
from sphinx.cmd.build import main as sphinx_build

import pu_diffusion_pipeline as library
from pu_diffusion_pipeline.experiment.parameters import Parameters
from pu_diffusion_pipeline.options import Options

REPO = Path(__file__).resolve().parents[2]
SITE = Path(__file__).parent
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "CITATION.cff", "LICENSE")
LINK = re.compile(r"\]\(\s*([^)\s#]+)")
WHOLE_LINK = re.compile(r"\[([^\]]*)\]\(([^)\s#]+)\)")
COMMENT = re.compile(r"^( *)([a-z_]+):.*?(?:  |\} )# (.*)$")
REGISTRIES = {
    "diffusion.methods.METHODS": "methods: what each trains on and draws from",
    "diffusion.samplers.SAMPLERS": "samplers",
    "metrics.registry.METRICS": "metrics: where a value stands and how tables show it",
    "positive_unlabeled.estimators.ESTIMATORS": "estimators of beta",
    "images.sources.SOURCES": "sources of images",
}
MODULES = (
    "positive_unlabeled.risk",
    "positive_unlabeled.estimators",
    "positive_unlabeled.class_prior",
    "diffusion.noising",
    "diffusion.interfaces",
)
GOES_ON = re.compile(r"^ {20,}# (.*)$")


def copy_pages(target: Path) -> None:
    """The pages and what they link to, in their folders."""
    for name in PAGES:
        shutil.copy(REPO / name, target / name)
    for folder in ("docs", "examples", "notebooks"):
        shutil.copytree(REPO / folder, target / folder, ignore=shutil.ignore_patterns("site"))
    for name in ("conf.py", "index.md"):
        shutil.copy(SITE / name, target / name)
    for page in list(target.rglob("*.md")):
        text = page.read_text()
        for link in LINK.findall(text):
            _copy_linked((page.parent / link).resolve(), target)
        page.write_text(_without_folders(text, page, target))


def _copy_linked(linked: Path, target: Path) -> None:
    """A file of the repository that is no page, such as a module."""
    if not linked.is_relative_to(target) or linked.exists():
        return
    source = REPO / linked.relative_to(target)
    if source.is_file():
        linked.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, linked)


def _without_folders(text: str, page: Path, target: Path) -> str:
    """Links to folders, which a site has no page for, become their text."""

    def shown(link: re.Match) -> str:
        linked = (page.parent / link[2]).resolve()
        is_folder = (REPO / os.path.relpath(linked, target)).is_dir()
        return link[1] if is_folder else link[0]

    return WHOLE_LINK.sub(shown, text)


def comments() -> dict[str, str]:
    """Parameter (`training.num_steps`) to its comment in parameters.yml."""
    found: dict[str, str] = {}
    path: list[str] = []
    for line in (REPO / "conf/base/parameters.yml").read_text().splitlines():
        if key := re.match(r"^( *)([a-z_]+):", line):
            path = [*path[: len(key[1]) // 2], key[2]]
        if said := COMMENT.match(line):
            found[".".join(path)] = said[3]
        elif (more := GOES_ON.match(line)) and path:
            name = ".".join(path)
            found[name] = f"{found.get(name, '')} {more[1]}".strip()
    return found


def parameters_page() -> str:
    """Every parameter: default, type, comment; a table for each section."""
    defaults = yaml.safe_load((REPO / "conf/base/parameters.yml").read_text())
    said = comments()
    plain = [name for name, value in defaults.items() if not isinstance(value, dict)]
    lines = [
        "# Parameters",
        "",
        "Every parameter of `conf/base/parameters.yml` with its default. Any of them can be set in "
        "`conf/<benchmark>/parameters.yml` or by `--params=section.name:value`.",
        "",
        *_table([(name, name) for name in plain], defaults, Parameters, said),
    ]
    for section, values in defaults.items():
        if not isinstance(values, dict):
            continue
        model = _options_of(Parameters.model_fields[section].annotation)
        about = said.get(section, "") or inspect.getdoc(model) or ""
        names = [(name, f"{section}.{name}") for name in values]
        lines += [f"## {section}", "", about, "", *_table(names, values, model, said)]
    return "\n".join(lines) + "\n"


def _table(
    names: list[tuple[str, str]], values: dict, model: type[Options] | None, said: dict[str, str]
) -> Iterator[str]:
    yield from ("| parameter | default | type | |", "|---|---|---|---|")
    for name, full in names:
        kind = "" if model is None else _spelled(model.model_fields[name].annotation)
        default = f"`{values[name]}`".replace("|", "\\|")
        comment = said.get(full, "").replace("|", "\\|")
        yield f"| `{name}` | {default} | {kind} | {comment} |"
    yield ""


def _options_of(annotation: object) -> type[Options] | None:
    """The class of a section, which may be optional."""
    parts = [annotation, *getattr(annotation, "__args__", ())]
    return next((one for one in parts if isinstance(one, type) and issubclass(one, Options)), None)


def _spelled(annotation: object) -> str:
    text = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    text = re.sub(r"typing\.|pu_diffusion_pipeline\.[\w.]*\.|annotated_types\.", "", text)
    text = re.sub(r"Annotated\[([\w ]+),[^\]]*\]", r"\1", text)
    return f"`{text}`".replace("|", "\\|") if len(text) < 60 else ""


def library_page() -> str:
    """The names that the package exports, from their docstrings."""
    lines = [
        "# Names of the library",
        "",
        "[How to use them](library.md). torch is imported at their first use.",
        "",
    ]
    for name in library.__all__:
        thing = getattr(library, name)
        if isinstance(thing, int):
            lines += [f"## {name}", "", f"`pu.{name}` is {thing}: a label of an image's set.", ""]
            continue
        lines += [f"## {name}", "", *_documented(thing), ""]
    return "\n".join(lines)


def _documented(thing: Any) -> list[str]:
    """The directive that shows a class or function with its documentation and a link to it."""
    kind = "autoclass" if inspect.isclass(thing) else "autofunction"
    is_plain = kind == "autoclass" and not issubclass(thing, tuple)
    options = ["   :members:", "   :special-members: __call__"] if is_plain else []
    where = f"{thing.__module__}.{thing.__qualname__}"
    return ["```{eval-rst}", f".. {kind}:: {where}", *options, "```"]


def extending_page() -> str:
    """The registries, and the modules that whoever extends them reads."""
    lines = [
        "# Where to extend it",
        "",
        "A registry maps the names that parameters take to what they stand for. "
        "[CONTRIBUTING](../CONTRIBUTING.md) has a recipe for each. Papers are named beside the "
        "code, and the links *source* show it.",
        "",
    ]
    for place, about in REGISTRIES.items():
        module, _, name = place.rpartition(".")
        registry = getattr(import_module(f"{library.__name__}.{module}"), name)
        known = ", ".join(f"`{one}`" for one in registry)
        entry = type(next(iter(registry.values())))
        lines += [f"## {name}", "", f"`{library.__name__}.{place}`: {about}. {known}", ""]
        if entry.__module__.startswith(library.__name__):
            lines += [*_documented(entry), ""]
    for module in MODULES:
        shown = [
            "```{eval-rst}",
            f".. automodule:: {library.__name__}.{module}",
            "   :members:",
            "   :no-index:",
        ]
        lines += [f"## {module}", "", *shown, "```", ""]
    return "\n".join(lines)


def build(folder: Path) -> int:
    """Write the site; 0 if nothing was wrong."""
    source = folder.parent / "site_source"
    for old in (source, folder):
        shutil.rmtree(old, ignore_errors=True)
    source.mkdir(parents=True)
    copy_pages(source)
    (source / "docs/parameters.md").write_text(parameters_page())
    (source / "docs/api.md").write_text(library_page())
    (source / "docs/extending.md").write_text(extending_page())
    options = ["-q", "-j", "auto", "-W", "--keep-going", "-b", "html"]
    return sphinx_build([*options, str(source), str(folder)])


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else REPO / "build/site"
    status = build(target.resolve())
    print(f"Site: {target / 'index.html'}" if status == 0 else "The site has mistakes, see above.")
    sys.exit(status)
