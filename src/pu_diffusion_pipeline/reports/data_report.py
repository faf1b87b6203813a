"""What a user's folder holds, before any training: for the terminal and as a page."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pu_diffusion_pipeline.images.duplicates import NearDuplicates
from pu_diffusion_pipeline.metrics.registry import Record
from pu_diffusion_pipeline.progress import spell_time
from pu_diffusion_pipeline.reports.page import prior_sentence
from pu_diffusion_pipeline.reports.review import png_of
from pu_diffusion_pipeline.reports.templates import template

FEW_SENSITIVE = 100  # below, the estimate of the class prior scatters: docs/class_prior.md
FEW_UNLABELED = 1_000
MOST_LISTED = 20  # unreadable files and pairs on the page
FOLDERS = {"unlabeled": "U", "sensitive": "S", "normal": "N", "test": "test"}


@dataclass(frozen=True)
class FolderFacts:
    """What is in the folder.

    Attributes:
        index: a row per file: role, path, width, height, mode, sha256, problem.
        near: pairs of images that look alike, as rows of `readable`.
        image_size: pixels of the model's images.
        seconds: that the trainings will take, timed on this machine; None: not timed.
        prior: the record of the class prior; None: not estimated yet.
        labels: whether labels.csv says which images are sensitive.
    """

    index: pd.DataFrame
    near: NearDuplicates
    image_size: int
    seconds: float | None = None
    prior: Record | None = None
    labels: bool = False

    @property
    def readable(self) -> pd.DataFrame:
        """The files that are images."""
        return self.index[self.index["problem"].isna()]

    @property
    def unreadable(self) -> pd.DataFrame:
        """The files that are left out, each with its problem."""
        return self.index[self.index["problem"].notna()]

    @property
    def num_training(self) -> int:
        """Images of U and S; a part of U may be held out of them."""
        counts = self.counts()
        return counts["unlabeled"] + counts["sensitive"]

    def counts(self) -> dict[str, int]:
        """Images by folder."""
        found = self.readable["role"].value_counts()
        return {name: int(found.get(name, 0)) for name in FOLDERS}


def folder_lines(facts: FolderFacts) -> list[str]:
    """The report for the terminal, a few lines."""
    lines = [
        f"{name + '/':<12}{count:>8} images" for name, count in facts.counts().items() if count
    ]
    lines.append(f"sizes       {sizes(facts.readable)}")
    lines.append(f"modes       {modes(facts.readable)}")
    if len(facts.unreadable):
        first = facts.unreadable.iloc[0]
        number = len(facts.unreadable)
        lines.append(f"left out    {number} files, such as {first['path']}: {first['problem']}")
    lines += [f"duplicates  {line}" for line in duplicate_lines(facts)]
    if facts.prior is not None:
        lines.append(
            f"share of sensitive images in unlabeled/: {prior_sentence(facts.prior, None)}"
        )
    if facts.seconds is not None:
        lines.append(f"training    {spell_time(facts.seconds)} for the three methods")
    return lines + [f"warning: {warning}" for warning in warnings(facts)]


def sizes(readable: pd.DataFrame) -> str:
    """Smallest, median and largest size."""
    sides = readable[["width", "height"]]
    smallest, median, largest = (
        f"{int(of['width'])} x {int(of['height'])}"
        for of in (sides.min(), sides.median(), sides.max())
    )
    return f"{smallest} to {largest} pixels, median {median}"


def modes(readable: pd.DataFrame) -> str:
    """Modes with their counts, the most frequent first."""
    found = readable["mode"].value_counts()
    return ", ".join(f"{mode} {count}" for mode, count in found.items())


def duplicate_lines(facts: FolderFacts) -> Iterator[str]:
    """Exact copies and near ones, inside folders and across them."""
    copies = len(facts.readable) - facts.readable["sha256"].nunique()
    if copies:
        yield f"{copies} exact copies"
    if facts.near.num_pairs:
        role = facts.readable["role"].to_numpy()
        pairs = facts.near.pairs
        across = int((role[pairs["i"]] != role[pairs["j"]]).sum())
        if len(pairs) == facts.near.num_pairs:
            yield f"{len(pairs)} pairs look alike, {across} of them across folders"
        else:
            yield (
                f"at least {facts.near.num_pairs} pairs look alike; of the {len(pairs)} that are "
                f"listed {across} are across folders"
            )


def warnings(facts: FolderFacts) -> list[str]:
    """What a user should know before they train, in words."""
    counts = facts.counts()
    found = []
    if counts["sensitive"] < FEW_SENSITIVE:
        found.append(
            f"sensitive/ has {counts['sensitive']} images: expect a class prior that is wrong by "
            f"half or more, and a model that avoids only what looks like them; {FEW_SENSITIVE} "
            "are a good start"
        )
    if counts["unlabeled"] < FEW_UNLABELED:
        found.append(
            f"unlabeled/ has {counts['unlabeled']} images: expect a model that copies them"
        )
    if not counts["test"]:
        known = "" if facts.labels else "probably "
        found.append(
            "there is no test/: a part of unlabeled/ is held out in its place; it holds sensitive "
            f"images too, so those that are {known}sensitive are left out of the comparison"
        )
    small = int((facts.readable[["width", "height"]].min(axis=1) < facts.image_size).sum())
    if small:
        found.append(
            f"{small} images have a side below {facts.image_size} pixels and are enlarged: expect "
            "blurred samples"
        )
    return found


def render_data_report(
    benchmark: str, facts: FolderFacts, images: Mapping[int, np.ndarray] | np.ndarray
) -> str:
    """The report as an HTML page.

    Args:
        benchmark: its name.
        facts: what is in the folder.
        images: position to (C, H, W) uint8 image, for the pairs that look alike.
    """
    rows = facts.readable[["path", "position"]].to_dict("records")
    pairs = [
        {
            "distance": one.distance,
            "images": [
                {"path": row["path"], "png": png_of(images[row["position"]])}
                for row in (rows[one.i], rows[one.j])
            ],
        }
        for one in facts.near.pairs.sort_values("distance").head(MOST_LISTED).itertuples()
    ]
    return template("data_report.html.jinja").render(
        benchmark=benchmark,
        counts={name: count for name, count in facts.counts().items() if count},
        sizes=sizes(facts.readable),
        modes=modes(facts.readable),
        unreadable=facts.unreadable.head(MOST_LISTED).to_dict("records"),
        num_unreadable=len(facts.unreadable),
        duplicates=list(duplicate_lines(facts)),
        pairs=pairs,
        prior=None if facts.prior is None else prior_sentence(facts.prior, None),
        duration=None if facts.seconds is None else spell_time(facts.seconds),
        warnings=warnings(facts),
    )
