"""Index tables: which source images are in U, S, N and the groups that evaluation rests on."""

from collections.abc import Mapping

import pandas as pd

from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.images.options import DataOptions
from pu_diffusion_pipeline.options import in_section
from pu_diffusion_pipeline.positive_unlabeled.split import is_sensitive, split_images

BLIND = ["position", "sha256"]  # nothing downstream of these knows which images are sensitive
KNOWN = ["position", "sha256", "class"]


@in_section("data", DataOptions)
def split_index(
    raw_index: pd.DataFrame, data: DataOptions, seed: int
) -> Mapping[str, pd.DataFrame]:
    """The tables of U, S, N, test, held-out and judge images, and the ground truth about U.

    The tables of U, S and N hold no class. Conditional training is given the class as its
    condition c (Eq. 20), but not which classes are sensitive.

    Args:
        raw_index: columns position, class, is_test, sha256.
        data: classes, counts and the judge's split.
        seed: of U and S.

    Returns:
        The attributes of `split.Split`, and `oracle_unlabeled`, to tables with columns position,
        sha256 and, where it is known, class; `oracle_unlabeled` has is_sensitive as well.
    """
    classes = raw_index["class"].to_numpy()
    split = split_images(
        classes,
        raw_index["is_test"].to_numpy(),
        data.normal_classes,
        data.given_counts.model_dump(),
        seed,
        data.judge_split,
    )
    blind = BLIND
    if data.num_conditions is not None:
        _check_conditions(raw_index["class"], data.num_conditions)
        raw_index = raw_index.assign(condition=raw_index["class"])
        blind = [*BLIND, "condition"]
    columns = (blind, blind, blind, KNOWN, KNOWN, KNOWN)
    tables = {
        name: raw_index.iloc[positions][chosen]
        for name, positions, chosen in zip(split._fields, split, columns, strict=True)
    }
    truth = is_sensitive(classes[split.unlabeled], data.normal_classes)
    tables["oracle_unlabeled"] = raw_index.iloc[split.unlabeled][KNOWN].assign(is_sensitive=truth)
    return {name: table.reset_index(drop=True) for name, table in tables.items()}


def _check_conditions(classes: pd.Series, num_conditions: int) -> None:
    if classes.max() >= num_conditions:
        raise InvalidInput(
            f"data.num_conditions must be at least {classes.max() + 1} for this source, "
            f"got {num_conditions}"
        )
