"""Find the missing runs, estimate their time, run them one after another with `kedro run`, render.

Finished runs are not run again, so an interrupted reproduction goes on where it stopped.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pu_diffusion_pipeline.atomic_write import atomic_write
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.experiment.commands import kedro_run
from pu_diffusion_pipeline.progress import spell_time
from pu_diffusion_pipeline.reproduction.arguments import Request
from pu_diffusion_pipeline.reproduction.plan import (
    Run,
    configuration,
    judge_is_there,
    plan,
    saved_file,
)
from pu_diffusion_pipeline.reproduction.timing import estimate_seconds

# Figure to the pipeline that draws it, and the catalog's name of the picture.
DRAWN_BY = {
    "figure1": ("figure1", "figure1"),
    "figure2": ("report", "samples_figure"),
    "figure3": ("report", "samples_figure"),
    "figure4": ("figure4", "figure4"),
    "frontier": ("frontier_figure", "frontier_figure"),
}


def reproduce_target(
    request: Request,
    project: Path,
    confirm: Callable[[str], object],
    say: Callable[[str], object],
) -> None:
    """Make the runs that are missing, then the table or figure, then the page of all of them.

    Args:
        request: what to reproduce.
        project: the project's folder.
        confirm: asks whether to go on; raises to stop.
        say: prints a line.
    """
    from pu_diffusion_pipeline.reports.page import render_paper_page

    runs = plan(request, project)
    missing = [run for run in runs if not run.finished]
    say(f"{request.target}: {len(runs) - len(missing)} of {len(runs)} runs are finished.")
    if missing:
        for run in missing:
            say(f"  missing: kedro {' '.join(run.command())}")
        say("Timing a few steps on this machine ...")
        duration = spell_time(estimate_seconds(missing, project))
        say(f"They take about {duration}, data and judge not counted.")
        confirm("Run them now?")
    _make(missing, request.parameters, project, say)
    folder = project / "data/08_reporting/paper"
    if request.target in DRAWN_BY:
        _render_figure(request, project, folder)
    else:
        say(_render_table(request, project, folder))
    _write(folder / "index.html", render_paper_page(folder))
    say(f"All tables and figures so far: {folder / 'index.html'}")


def _make(
    missing: Sequence[Run],
    parameters: Mapping[str, object],
    project: Path,
    say: Callable[[str], object],
) -> None:
    for run in missing:
        if not judge_is_there(run.benchmark, run.parameters, project):
            execute(kedro_run(run.benchmark, ["train_classifier"], parameters), project)
        say(f"kedro {' '.join(run.command())}")
        execute(run.command(), project)


def execute(arguments: Sequence[str], project: Path) -> None:
    """Run `kedro` in a process of its own, its output on ours.

    Raises:
        InvalidInput: it failed; its own message stands above.
    """
    result = subprocess.run([sys.executable, "-m", "kedro", *arguments], cwd=project)
    if result.returncode:
        raise InvalidInput(
            f"`kedro {' '.join(arguments)}` failed; its message is above. "
            "The same reproduce command goes on from here."
        )


def _render_figure(request: Request, project: Path, folder: Path) -> None:
    pipeline, picture = DRAWN_BY[request.target]
    parameters = {**request.parameters, "seed": request.seeds[0]}
    for benchmark in request.benchmarks:
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


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
