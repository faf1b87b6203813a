"""A sweep over the runs of a table or figure, then the table or figure.

Finished runs are not run again, so an interrupted reproduction goes on where it stopped.
"""

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from pu_diffusion_pipeline.atomic_write import atomic_write
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.experiment.commands import kedro_run, typed
from pu_diffusion_pipeline.reproduction.arguments import Request
from pu_diffusion_pipeline.sweeps.command import How, Talk, sweep
from pu_diffusion_pipeline.sweeps.runs import configuration

# Figure to the pipeline that draws it, and the catalog's name of the picture.
DRAWN_BY = {
    "figure1": ("figure1", "figure1"),
    "figure2": ("report", "samples_figure"),
    "figure3": ("report", "samples_figure"),
    "figure4": ("figure4", "figure4"),
    "frontier": ("frontier_figure", "frontier_figure"),
}
SHOW_PRIOR = ("report", "figure4")  # they read the estimate, which no run with a given beta makes


def reproduce_target(request: Request, project: Path, how: How, talk: Talk) -> None:
    """Make the runs that are missing, then the table or figure, then the page of all of them.

    Args:
        request: what to reproduce.
        project: the project's folder.
        how: where the runs work, how many at once.
        talk: with the user.
    """
    from pu_diffusion_pipeline.reports.page import render_paper_page

    sweep(request.sweep, project, how, talk, title=request.target)
    folder = project / "data/08_reporting/paper"
    if request.target in DRAWN_BY:
        _render_figure(request, project, folder)
    else:
        talk.say(_render_table(request, project, folder))
    _write(folder / "index.html", render_paper_page(folder))
    talk.say(f"All tables and figures so far: {folder / 'index.html'}")


def execute(arguments: Sequence[str], project: Path) -> None:
    """Run `kedro` in a process of its own, its output on ours.

    Raises:
        InvalidInput: it failed; its own message stands above.
    """
    result = subprocess.run([sys.executable, "-m", "kedro", *arguments], cwd=project)
    if result.returncode:
        raise InvalidInput(
            f"`{typed(arguments)}` failed; its message is above. "
            "The same reproduce command goes on from here."
        )


def _render_figure(request: Request, project: Path, folder: Path) -> None:
    pipeline, picture = DRAWN_BY[request.target]
    parameters = {**request.parameters, "seed": request.seeds[0]}
    for benchmark in request.benchmarks:
        if pipeline in SHOW_PRIOR:
            estimate = kedro_run(benchmark, ["prior_estimation"], parameters)
            execute([*estimate, "--only-missing-outputs"], project)
        execute(kedro_run(benchmark, [pipeline], parameters), project)
        drawn = saved_file(picture, benchmark, parameters, project)
        with atomic_write(folder / f"{request.target}_{benchmark}.png") as temporary:
            shutil.copy(drawn, temporary)


def _render_table(request: Request, project: Path, folder: Path) -> str:
    """Write the table as CSV, as Markdown and as JSON for the page; return the Markdown."""
    import pandas as pd

    from pu_diffusion_pipeline.reports.paper_tables import BenchmarkSummary, paper_table

    summaries = []
    for benchmark in request.benchmarks:
        execute(kedro_run(benchmark, ["summarize"], request.parameters), project)
        summary = pd.read_csv(saved_file("summary", benchmark, request.parameters, project))
        options = configuration(project, benchmark, request.parameters).final_parameters()
        summaries.append(BenchmarkSummary(benchmark, summary, options.paper_row, options.beta))
    table = paper_table(summaries, int(request.target[-1]), options.reporting)
    markdown = table.to_markdown() + "\n"
    _write(folder / f"{request.target}.md", markdown)
    _write(folder / f"{request.target}.csv", table.with_asterisks().to_csv(index=False))
    _write(folder / f"{request.target}.json", table.to_json())
    return f"\n{markdown}"


def saved_file(name: str, benchmark: str, parameters: Mapping[str, object], project: Path) -> Path:
    """The file or folder of a data set of the catalog."""
    return project / configuration(project, benchmark, parameters)["catalog"][name]["filepath"]


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
