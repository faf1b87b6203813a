"""U, S and test images from a user's own folder."""

import hashlib

import numpy as np
import pandas as pd
import pytest

from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.images.folder_source import NORMAL, SENSITIVE, UNKNOWN
from pu_diffusion_pipeline.images.options import DataOptions
from pu_diffusion_pipeline.positive_unlabeled.folder_split import split_folder

FOLDER = {
    "labels": False,
    "duplicates": "refuse",
    "heldout_share": 0.2,
    "most_unreadable": 0.01,
    "max_pixels": 10**8,
    "engine": "threads",
}


def options(**folder) -> DataOptions:
    return DataOptions(
        source="folder",
        root="photos",
        download=False,
        normal_classes=[0],
        image_size=16,
        channels=1,
        judge_split="clean",
        num_conditions=None,
        counts=None,
        folder={**FOLDER, **folder},
    )


def index(unlabeled: int = 50, sensitive: int = 10, normal: int = 5, test: int = 0) -> pd.DataFrame:
    """What `index_folder` returns; every fifth image of U and of test/ is sensitive in truth."""
    counts = {"normal": normal, "sensitive": sensitive, "test": test, "unlabeled": unlabeled}
    roles = [role for role, count in counts.items() for _ in range(count)]
    numbers = [number for count in counts.values() for number in range(count)]
    hidden = [SENSITIVE if number % 5 == 0 else NORMAL for number in numbers]
    truth = {"normal": NORMAL, "sensitive": SENSITIVE}
    return pd.DataFrame(
        {
            "position": pd.array(range(len(roles)), dtype="Int64"),
            "path": [f"{role}/{number}.png" for role, number in zip(roles, numbers, strict=True)],
            "role": roles,
            "sha256": [f"{number:064d}" for number in range(len(roles))],
            "problem": pd.array([None] * len(roles), dtype="string"),
            "class": [truth.get(role, one) for role, one in zip(roles, hidden, strict=True)],
        }
    )


def blind(table: pd.DataFrame) -> pd.DataFrame:
    unknown = table["role"].isin(["unlabeled", "test"])
    return table.assign(**{"class": table["class"].mask(unknown, UNKNOWN)})


def positions(table: pd.DataFrame) -> set[int]:
    assert table["position"].is_unique
    return set(table["position"])


def of_role(table: pd.DataFrame, role: str) -> set[int]:
    return set(table["position"][table["role"] == role])


def test_without_test_images_a_part_of_u_is_held_out_the_same_for_every_seed():
    table = blind(index())
    splits = [split_folder(table, options(), seed) for seed in (0, 1)]
    assert splits[0]["test"].equals(splits[1]["test"])
    assert len(splits[0]["test"]) == 10
    assert set(splits[0]["test"]["role"]) == {"unlabeled"}
    for split in splits:
        u, test = positions(split["unlabeled"]), positions(split["test"])
        assert u | test == of_role(table, "unlabeled")
        assert not u & test


def test_the_folders_are_the_sets():
    table = blind(index(test=8))
    split = split_folder(table, options(), 0)
    for name, role in (
        ("unlabeled", "unlabeled"),
        ("labeled_sensitive", "sensitive"),
        ("labeled_normal", "normal"),
        ("test", "test"),
    ):
        assert positions(split[name]) == of_role(table, role)


def test_only_the_order_of_u_depends_on_the_seed():
    first, second = (split_folder(blind(index(test=8)), options(), seed) for seed in (0, 1))
    assert list(first["unlabeled"]["position"]) != list(second["unlabeled"]["position"])
    for name in set(first) - {"unlabeled"}:
        assert first[name].equals(second[name]), name


def test_without_labels_no_table_knows_which_images_are_sensitive():
    split = split_folder(blind(index()), options(), 0)
    assert set(split) == {"unlabeled", "labeled_sensitive", "labeled_normal", "test", "judge"}
    in_sensitive = split["judge"]["class"] == SENSITIVE
    assert positions(split["judge"][in_sensitive]) == positions(split["labeled_sensitive"])
    assert positions(split["judge"][~in_sensitive]) == positions(split["unlabeled"])
    for name in set(split) - {"judge"}:
        assert "class" not in split[name], name


def test_files_that_cannot_be_read_are_in_no_table():
    table = blind(index())
    table.loc[[12, 40], "position"] = pd.NA
    table.loc[[12, 40], "problem"] = "no image"
    split = split_folder(table, options(), 0)
    drawn = np.concatenate([one["position"] for name, one in split.items() if name != "judge"])
    assert sorted(drawn) == [one for one in range(65) if one not in (12, 40)]


def test_labels_give_the_truth_about_u_and_a_judge():
    table = index(test=20)
    split = split_folder(table, options(labels=True), 0)
    truth = table.set_index("position")["class"]
    oracle = split["oracle_unlabeled"]
    assert list(oracle["position"]) == list(split["unlabeled"]["position"])
    assert (oracle["is_sensitive"] == (truth.loc[oracle["position"]] == SENSITIVE).to_numpy()).all()
    assert set(split["test"]["class"]) == {NORMAL}
    assert set(split["heldout"]["class"]) == {SENSITIVE}
    assert positions(split["test"]) | positions(split["heldout"]) == of_role(table, "test")
    judged = positions(split["judge"])
    assert not judged & of_role(table, "test")
    assert (truth.loc[split["judge"]["position"]].to_numpy() == split["judge"]["class"]).all()
    assert "class" not in split["unlabeled"]


def test_an_image_without_a_label_is_named():
    table = index(test=20)
    table.loc[table["path"] == "unlabeled/7.png", "class"] = UNKNOWN
    with pytest.raises(InvalidInput, match=r"1 have none, such as unlabeled/7\.png"):
        split_folder(table, options(labels=True), 0)


def test_too_few_images_to_compare_with_are_refused():
    with pytest.raises(InvalidInput, match="at least 4 images to compare with, got 1"):
        split_folder(blind(index(unlabeled=5)), options(), 0)


def test_with_labels_a_test_folder_of_normal_images_is_filled_up_from_u():
    only_normal = index(test=20)
    is_test = only_normal["role"] == "test"
    only_normal.loc[is_test, "class"] = NORMAL
    groups = split_folder(only_normal, options(labels=True), 0)
    assert len(groups["heldout"]) >= 2
    assert set(only_normal["position"][is_test]) < set(groups["test"]["position"])
    heldout = set(groups["heldout"]["position"]) | set(groups["test"]["position"])
    assert not heldout & set(groups["unlabeled"]["position"])


def test_copies_of_an_image_are_held_out_together():
    copied = index()
    unlabeled = copied.index[copied["role"] == "unlabeled"]
    half = len(unlabeled) // 2
    copied.loc[unlabeled[half : 2 * half], "sha256"] = copied["sha256"][unlabeled[:half]].to_numpy()
    groups = split_folder(blind(copied), options(), 0)
    assert not set(groups["unlabeled"]["sha256"]) & set(groups["test"]["sha256"])


@pytest.mark.parametrize("labels", [False, True])
def test_one_image_less_leaves_the_other_choices_as_they_are(labels):
    table = index(unlabeled=200)
    table["sha256"] = [hashlib.sha256(str(number).encode()).hexdigest() for number in table.index]
    table = table if labels else blind(table)
    whole = held_out(split_folder(table, options(labels=labels), 0))
    fewer = held_out(split_folder(table.drop(index=[50]), options(labels=labels), 0))
    assert len(whole) == 40
    assert len(whole ^ fewer) <= 4


def test_a_part_of_each_kind_is_held_out_where_labels_tell_them_apart():
    table = index(unlabeled=100)
    table.loc[table["role"] == "unlabeled", "class"] = NORMAL
    table.loc[table.index[-3:], "class"] = SENSITIVE
    split = split_folder(table, options(labels=True, heldout_share=0.1), 0)
    assert len(split["heldout"]) == 2  # a tenth of three would be none
    assert len(split["test"]) == 10
    assert split["oracle_unlabeled"]["is_sensitive"].sum() == 1


def held_out(split) -> set[str]:
    """Digests of the images that are held out."""
    return {
        digest for name in ("test", "heldout") if name in split for digest in split[name]["sha256"]
    }
