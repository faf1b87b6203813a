"""Options of the statistics over seeds, and the names of the paper's rows."""

import csv
from importlib.resources import files
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from pu_diffusion_pipeline.options import NEUTRAL, Options, require_one_of


def _paper_rows() -> list[str]:
    """The rows of the paper's Tables 2-5."""
    text = files("pu_diffusion_pipeline.reports").joinpath("paper_results.csv").read_text()
    return list(dict.fromkeys(line["row"] for line in csv.DictReader(text.splitlines())))


PaperRow = Annotated[str, AfterValidator(lambda row: require_one_of(row, _paper_rows()))]


class ReportingOptions(Options):
    """The statistics over seeds, and the report's pictures."""

    significance: Annotated[Literal["paired", "welch"], NEUTRAL]
    level: Annotated[float, Field(gt=0, lt=1), NEUTRAL]
    blur_sensitive: Annotated[bool, NEUTRAL] = False
