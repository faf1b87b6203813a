"""Whether a user's folder of images can be used: enough of each role, few broken, no copies."""

import logging
from pathlib import Path
from typing import Literal, NamedTuple

import pandas as pd

from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.images.folder_listing import NEEDED, ROLES, shown

log = logging.getLogger(__name__)

MOST_UNREADABLE = 0.01
FEW = 3  # unreadable files are let pass in a folder of any size
LISTED = 5  # examples in a message
# Of two copies in different roles, the one in the earlier role is kept.
PRECEDENCE = ("sensitive", "normal", "unlabeled", "test")
COPIES = ("path", "role", "kept", "role_kept")


class CheckedFolder(NamedTuple):
    """The images of a folder that can be used.

    Attributes:
        index: of the images, without those that cannot be read and those that are dropped. Their
            positions are those in the store's array, so some are left out.
        facts: images by role (after the drop), num_unreadable, num_dropped, and by role how many
            images are copies of another in the same role.
    """

    index: pd.DataFrame
    facts: dict[str, object]


def check_folder(
    root: str | Path,
    index: pd.DataFrame,
    most_unreadable: float = MOST_UNREADABLE,
    duplicates: Literal["refuse", "drop"] = "refuse",
) -> CheckedFolder:
    """Refuse a folder with which no training makes sense; say what is odd about others.

    Args:
        root: the folder, for messages.
        index: its files (`image_store.FolderImages`).
        most_unreadable: largest share of files that cannot be read. Up to 3 are let pass in any
            folder, unless the share is 0.
        duplicates: what to do with files of the same bytes in different roles: refuse them, or drop
            the copy in unlabeled (of a labeled image) or in test. One that is in sensitive and in
            normal is always refused.

    Raises:
        InvalidInput: too many files cannot be read; unlabeled or sensitive has fewer than two
            images; there are more sensitive than unlabeled ones; or there are copies.
    """
    num_unreadable = _check_readable(root, index, most_unreadable)
    images = index[index["problem"].isna()]
    found = _copies(images)
    _check_copies(root, found, duplicates)
    kept = images[~images["path"].isin(found["path"])].reset_index(drop=True)
    counts = {role: int((kept["role"] == role).sum()) for role in ROLES}
    _check_counts(root, counts)
    twice = kept["role"][kept.duplicated(["role", "sha256"])].value_counts().to_dict()
    for role, count in twice.items():
        log.warning("data.root %s: copies of others within %s, kept: %d", root, role, count)
    facts = {"images": counts, "num_unreadable": num_unreadable, "num_dropped": len(found)}
    return CheckedFolder(kept, {**facts, "copies_within": twice})


def _check_readable(root: str | Path, index: pd.DataFrame, most_unreadable: float) -> int:
    broken = index[index["problem"].notna()]
    allowed = max(FEW, int(round(most_unreadable * len(index), 6))) if most_unreadable else 0
    lines = [f"{shown(row.path)} ({row.problem})" for row in broken.itertuples()]
    if len(broken) > allowed:
        raise InvalidInput(
            f"data.root {root}: {len(broken)} of {len(index)} files cannot be read, allowed are "
            f"{allowed}: {_some(lines)}. Repair or remove them, or raise "
            f"data.folder.most_unreadable (add-images: --most-unreadable), now {most_unreadable}."
        )
    if lines:
        log.warning("data.root %s: cannot be read (%d): %s", root, len(lines), _some(lines))
    return len(lines)


def _copies(images: pd.DataFrame) -> pd.DataFrame:
    """Images whose bytes are in an earlier role too: path, role, and what is kept instead."""
    rank = images["role"].map(PRECEDENCE.index)
    ordered = images.assign(rank=rank).sort_values(["rank", "path"])
    first = ordered.drop_duplicates("sha256")[["sha256", "path", "role", "rank"]]
    both = ordered.merge(first, on="sha256", suffixes=("", "_kept"))
    later = both[both["rank"] > both["rank_kept"]].sort_values("path")
    return later.rename(columns={"path_kept": "kept"})[list(COPIES)]


def _check_copies(root: str | Path, found: pd.DataFrame, duplicates: str) -> None:
    contradictory = found[found["role"] == "normal"]
    refused = found if duplicates == "refuse" else contradictory
    lines = [f"{shown(row.path)} = {shown(row.kept)}" for row in refused.itertuples()]
    if len(contradictory):
        way_out = "Decide for each of those in sensitive and normal what it is."
    else:
        way_out = (
            "Remove one of each, or leave out those in unlabeled and test: "
            "data.folder.duplicates: drop (add-images: --duplicates=drop)."
        )
    if lines:
        raise InvalidInput(
            f"data.root {root}: files with the same bytes in two folders ({len(lines)}): "
            f"{_some(lines)}. {way_out}"
        )
    if len(found):
        log.warning("data.root %s: copies in other folders, dropped: %d", root, len(found))


def _check_counts(root: str | Path, counts: dict[str, int]) -> None:
    said = ", ".join(f"{count} in {role}" for role, count in counts.items() if count)
    for role in NEEDED:
        if counts[role] < 2:
            raise InvalidInput(
                f"data.root {root}: at least two images are needed in {role}, found "
                f"{said or 'none'}. Put more there."
            )
    if counts["sensitive"] > counts["unlabeled"]:
        raise InvalidInput(
            f"data.root {root}: there must be at least as many unlabeled images as sensitive ones, "
            f"found {said}. Collect more unlabeled images, or take some sensitive ones away; if "
            "the folders were mixed up, exchange them."
        )


def _some(lines: list[str]) -> str:
    more = f" and {len(lines) - LISTED} more" if len(lines) > LISTED else ""
    return ", ".join(lines[:LISTED]) + more
