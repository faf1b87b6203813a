"""U, S and the groups that evaluation rests on, from a user's own folder.

The folders say which images are in U, S and N. Where there is no `test/`, a part of U is held out
in its place. The truth about U is known only where `labels.csv` gives it.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.images.folder_listing import ROLES
from pu_diffusion_pipeline.images.folder_source import NORMAL, SENSITIVE, UNKNOWN
from pu_diffusion_pipeline.images.options import DataOptions
from pu_diffusion_pipeline.seeding import numpy_generator

BLIND = ["position", "sha256"]
KNOWN = [*BLIND, "class"]
FEWEST_FOR_TEST = 4  # the neighbours of precision and recall need as many
FEWEST_LABELED = 2


def split_folder(
    raw_index: pd.DataFrame, data: DataOptions, seed: int
) -> Mapping[str, pd.DataFrame]:
    """The tables of U, S, N and test images; with labels also the others of `split_index`.

    Without labels the images for the classifier that gives features are U and S, and their class is
    the set that they are in.

    Args:
        raw_index: what `folder_source.index_folder` returned.
        data: options of the folder.
        seed: of the order of U.

    Raises:
        InvalidInput: too few images for a group, or labels that do not fit the folders.
    """
    raw_index = raw_index[raw_index["position"].notna()].astype({"position": int})
    rows = {role: np.flatnonzero(raw_index["role"] == role) for role in ROLES}
    unlabeled, test = _hold_out(raw_index, rows, data)
    unlabeled = numpy_generator(seed, "split").permutation(unlabeled)
    groups = {
        "unlabeled": raw_index.iloc[unlabeled][BLIND],
        "labeled_sensitive": raw_index.iloc[rows["sensitive"]][BLIND],
        "labeled_normal": raw_index.iloc[rows["normal"]][BLIND],
    }
    if data.folder.labels:
        groups |= _with_truth(raw_index, unlabeled, test, rows)
    else:
        groups |= _without_truth(raw_index, unlabeled, test, rows["sensitive"])
    return {name: table.reset_index(drop=True) for name, table in groups.items()}


def _hold_out(
    raw_index: pd.DataFrame, rows: Mapping[str, np.ndarray], data: DataOptions
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of U and of the test images, the same for every seed.

    Held out are the images with the smallest digests, a choice that other images do not change.
    With labels it is made among normal and sensitive ones apart, and a test/ without sensitive
    images does not do: the judge is measured on them too.
    """
    unlabeled, test = rows["unlabeled"], rows["test"]
    is_sensitive = (raw_index["class"] == SENSITIVE).to_numpy()
    has_labels = data.folder.labels
    if not len(test) or (has_labels and is_sensitive[test].sum() < FEWEST_LABELED):
        digests = raw_index["sha256"].to_numpy()[unlabeled]
        of_kind = [is_sensitive[unlabeled], ~is_sensitive[unlabeled]]
        kinds = of_kind if has_labels else [np.ones(len(unlabeled), dtype=bool)]
        fewest = FEWEST_LABELED if has_labels else 0
        chosen = [_smallest(digests[kind], data.folder.heldout_share, fewest) for kind in kinds]
        held_out = np.isin(digests, np.concatenate(chosen))
        test, unlabeled = np.sort([*test, *unlabeled[held_out]]), unlabeled[~held_out]
    if len(test) < FEWEST_FOR_TEST:
        raise InvalidInput(
            f"data.root: expected at least {FEWEST_FOR_TEST} images to compare with, got "
            f"{len(test)}; put more into test/ or unlabeled/, or raise data.folder.heldout_share"
        )
    return unlabeled, test


def _smallest(digests: np.ndarray, share: float, fewest: int) -> np.ndarray:
    """A share of the different digests, the smallest ones; at least so many, if there are."""
    different = np.unique(digests)
    return different[: max(round(share * len(different)), fewest)]


def _without_truth(
    raw_index: pd.DataFrame, unlabeled: np.ndarray, test: np.ndarray, sensitive: np.ndarray
) -> dict[str, pd.DataFrame]:
    sets = raw_index.iloc[np.concatenate([np.sort(unlabeled), sensitive])][BLIND]
    in_sensitive = np.repeat([NORMAL, SENSITIVE], [len(unlabeled), len(sensitive)])
    return {
        "test": raw_index.iloc[test][[*BLIND, "role"]],
        "judge": sets.assign(**{"class": in_sensitive}),
    }


def _with_truth(
    raw_index: pd.DataFrame,
    unlabeled: np.ndarray,
    test: np.ndarray,
    rows: Mapping[str, np.ndarray],
) -> dict[str, pd.DataFrame]:
    known = raw_index[KNOWN]
    _check_labels(raw_index)
    is_sensitive = (known["class"] == SENSITIVE).to_numpy()
    heldout = test[is_sensitive[test]]
    test = test[~is_sensitive[test]]
    for name, group, fewest in (
        ("normal", test, FEWEST_FOR_TEST),
        ("sensitive", heldout, FEWEST_LABELED),
    ):
        if len(group) < fewest:
            raise InvalidInput(
                f"labels.csv: expected at least {fewest} {name} images among those held out of "
                f"training (test/, or a part of unlabeled/), got {len(group)}; put more into "
                "test/, or raise data.folder.heldout_share"
            )
    judge = np.concatenate([np.sort(unlabeled), rows["sensitive"], rows["normal"]])
    return {
        "test": known.iloc[test],
        "heldout": known.iloc[heldout],
        "judge": known.iloc[judge],
        "oracle_unlabeled": known.iloc[unlabeled].assign(is_sensitive=is_sensitive[unlabeled]),
    }


def _check_labels(raw_index: pd.DataFrame) -> None:
    """Every image has a class; `read_labels` has compared it with the folders."""
    missing = raw_index["path"][raw_index["class"] == UNKNOWN]
    if len(missing):
        raise InvalidInput(
            f"labels.csv: expected a line for each image of unlabeled/ and test/; {len(missing)} "
            f"have none, such as {missing.iloc[0]}. Without it set data.folder.labels to false."
        )
