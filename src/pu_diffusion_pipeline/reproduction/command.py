"""Find the missing runs, say how long they take, run them one after another with `kedro run`, and render.

What is finished is not run again, so an interrupted reproduction goes on where it stopped.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pu_diffusion_pipeline.atomic import replacing
from pu_diffusion_pipeline.commands import kedro_run
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.reproduction.arguments import TARGETS, benchmarks_of, parse_betas, parse_seeds
from pu_diffusion_pipeline.reproduction.runs import judge_is_there, open_loader, plan, saved_file
from pu_diffusion_pipeline.reproduction.timing import estimate_seconds

# The pipeline that draws a figure, and the catalog's name of the picture.
FIGURES = {
    "figure1": ("figure1", "figure1"),
    "figure2": ("report", "samples_figure"),
    "figure3": ("report", "samples_figure"),
    "figure4": ("figure4", "figure4"),
}


def reproduce_target(
    target: str,
    rows: Sequence[str],
    seeds: str,
    betas: str,
    *,
    small: bool,
    parameters: dict[str, Any],
    project: Path,
    confirm: Callable[[str], Any],
    say: Callable[[str], Any],
) -> None:
    """What the command does; see the module.

    Args:
        target: one of `TARGETS`.
        rows: environments; empty for the paper's.
        seeds: as `parse_seeds`.
        betas: as `parse_betas`.
        small: take the small denoiser's benchmarks.
        parameters: overrides of every run.
        project: the project's folder.
        confirm: asks whether to go on; raises to stop.
        say: prints a line.
    """
    if target not in TARGETS:
        raise InvalidInput(f"no target {target!r}; there are {', '.join(TARGETS)}")
    for name in ("seed", "beta"):
        if name in parameters:
            raise InvalidInput(f"--params: {name} is set by --seeds and --betas here")
    benchmarks = benchmarks_of(target, rows, small, project / "conf")
    numbers = parse_seeds(seeds)
    runs = plan(target, benchmarks, numbers, parse_betas(betas), parameters, project)
    missing = [run for run in runs if not run.finished]
    say(f"{target}: {len(runs) - len(missing)} of {len(runs)} runs are finished.")
    if missing:
        for run in missing:
            say(f"  missing: kedro {' '.join(run.command())}")
        say("Timing a few steps on this machine ...")
        say(f"They take about {_spell_time(estimate_seconds(missing, project))}, data and judge not counted.")
        confirm("Run them now?")
    for run in missing:
        if not judge_is_there(run.benchmark, run.parameters, project):
            execute(kedro_run(run.benchmark, ["train_classifier"], parameters), project)
        say(f"kedro {' '.join(run.command())}")
        execute(run.command(), project)
    from pu_diffusion_pipeline.reports.page import render_paper_page

    folder = project / "data/08_reporting/paper"
    if target in FIGURES:
        _render_figure(target, benchmarks, {**parameters, "seed": numbers[0]}, project, folder)
    else:
        say(_render_table(target, benchmarks, parameters, project, folder))
    _write(folder / "index.html", render_paper_page(folder))
    say(f"All tables and figures so far: {folder / 'index.html'}")


def execute(arguments: Sequence[str], project: Path) -> None:
    """Run `kedro` in a process of its own, its output on ours.

    Raises:
        InvalidInput: it failed; its own message stands above.
    """
    result = subprocess.run([sys.executable, "-m", "kedro", *arguments], cwd=project)
    if result.returncode:
        raise InvalidInput(
            f"`kedro {' '.join(arguments)}` failed; its message is above. The same reproduce command goes on from here."
        )


def _spell_time(seconds: float) -> str:
    if seconds < 5400:
        return f"{max(1, round(seconds / 60))} minutes"
    return f"{seconds / 3600:.1f} hours" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"


def _render_figure(
    target: str, benchmarks: Sequence[str], parameters: dict[str, Any], project: Path, folder: Path
) -> None:
    pipeline, picture = FIGURES[target]
    for benchmark in benchmarks:
        execute(kedro_run(benchmark, [pipeline], parameters), project)
        drawn = saved_file(picture, benchmark, parameters, project)
        with replacing(folder / f"{target}_{benchmark}.png") as temporary:
            shutil.copy(drawn, temporary)


def _render_table(
    target: str, benchmarks: Sequence[str], parameters: dict[str, Any], project: Path, folder: Path
) -> str:
    import pandas as pd

    from pu_diffusion_pipeline.reports.paper_tables import table_markdown, table_of_rows

    summaries, number = {}, int(target[-1])
    for benchmark in benchmarks:
        execute(kedro_run(benchmark, ["summarize"], parameters), project)
        summary = pd.read_csv(saved_file("summary", benchmark, parameters, project))
        checked = open_loader(project / "conf", benchmark, parameters).checked_parameters()
        summary.attrs.update(paper_row=checked.paper_row, beta=checked.beta)
        summaries[benchmark] = summary
    table, options = table_of_rows(summaries, number), checked.reporting
    text = table_markdown(table, number, options.significance, options.level)
    _write(folder / f"{target}.md", text)
    _write(folder / f"{target}.csv", table.to_csv(index=False))
    return f"\n{text}"


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text)
