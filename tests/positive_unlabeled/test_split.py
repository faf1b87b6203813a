from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pu_diffusion_pipeline.config_loader import ProjectConfigLoader
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.experiment.parameters import Parameters, load_parameters
from pu_diffusion_pipeline.positive_unlabeled.split import Split, is_sensitive, split_images

CONF = Path(__file__).resolve().parents[2] / "conf"

# Table 1 of the paper: U (normal), U (sensitive), S, test.
TABLE_1 = {
    "mnist_even": (25_000, 2_500, 2_500, 4_926),
    "mnist_odd": (25_000, 2_500, 2_500, 5_074),
    "cifar10_vehicles": (20_000, 2_000, 2_000, 4_000),
    "cifar10_animals": (20_000, 2_000, 2_000, 6_000),
    "stl10_vehicles": (2_000, 200, 200, 3_200),
    "stl10_animals": (2_000, 200, 200, 4_800),
    "celeba_male": (2_000, 200, 200, 7_715),
    "celeba_female": (2_000, 200, 200, 12_247),
}
# The data sets' own class counts, train and test.
FREQUENCIES = {
    "mnist": (
        [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
        [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
    ),
    "cifar10": ([5000] * 10, [1000] * 10),
    "stl10": ([500] * 10, [800] * 10),
    "celeba": ([162_770 - 68_261, 68_261], [19_962 - 7_715, 7_715]),  # class 1 is male
}
COUNTS = {
    "unlabeled_normal": 40,
    "unlabeled_sensitive": 4,
    "labeled_sensitive": 5,
    "labeled_normal": 0,
    "test": 6,
    "heldout_sensitive": 7,
    "judge": None,
}


def parameters_of(benchmark: str) -> Parameters:
    return ProjectConfigLoader(
        str(CONF),
        env=benchmark,
        base_env="base",
        default_run_env="local",
        merge_strategy={"parameters": "soft"},
    ).final_parameters()


def labels_like(source: str) -> tuple[np.ndarray, np.ndarray]:
    """Classes with the data set's frequencies, in random order, train before test; and is_test."""
    rng = np.random.default_rng(0)
    parts = [
        rng.permutation(np.repeat(np.arange(len(counts)), counts)) for counts in FREQUENCIES[source]
    ]
    return np.concatenate(parts), np.repeat([False, True], [len(part) for part in parts])


def small_source(with_test: bool = False, per_class: int = 20) -> tuple[np.ndarray, np.ndarray]:
    classes = np.tile(np.arange(10), per_class)
    is_test = (
        np.arange(len(classes)) >= len(classes) - 40
        if with_test
        else np.zeros(len(classes), dtype=bool)
    )
    return classes, is_test


def split_small(with_test: bool = False, seed: int = 0, **counts) -> Split:
    return split_images(*small_source(with_test), (0, 2, 4, 6, 8), {**COUNTS, **counts}, seed)


def same(left: np.ndarray, right: np.ndarray) -> bool:
    return left.tolist() == right.tolist()


@pytest.mark.parametrize("benchmark", TABLE_1)
def test_every_row_of_table_1_gives_exactly_its_counts(benchmark):
    parameters = parameters_of(benchmark)
    normal_classes, counts = parameters.data.normal_classes, parameters.data.counts.model_dump()
    classes, is_test = labels_like(parameters.data.source)
    split = split_images(classes, is_test, normal_classes, counts, seed=0)

    sensitive = is_sensitive(classes, normal_classes)
    in_unlabeled = int(sensitive[split.unlabeled].sum())
    row = (
        len(split.unlabeled) - in_unlabeled,
        in_unlabeled,
        len(split.labeled_sensitive),
        len(split.test),
    )
    assert row == TABLE_1[benchmark]
    assert in_unlabeled * 11 == len(split.unlabeled)
    assert sensitive[split.labeled_sensitive].all()
    assert not sensitive[split.test].any()
    assert len(split.test) == int((is_test & ~sensitive).sum()), "all normal test images"
    assert len(split.heldout) == int((is_test & sensitive).sum())
    assert is_test[split.test].all()
    assert not is_test[
        np.concatenate([split.unlabeled, split.labeled_sensitive, split.judge])
    ].any()
    groups = np.concatenate(split[:5])
    assert len(np.unique(groups)) == len(groups)


@pytest.mark.parametrize("benchmark", TABLE_1)
def test_the_normal_classes_of_a_benchmark_are_those_its_name_says(benchmark):
    named = {
        "even": (0, 2, 4, 6, 8),
        "odd": (1, 3, 5, 7, 9),
        "cifar10_vehicles": (0, 1, 8, 9),
        "cifar10_animals": (2, 3, 4, 5, 6, 7),
        "stl10_vehicles": (0, 2, 8, 9),
        "stl10_animals": (1, 3, 4, 5, 6, 7),
        "celeba_male": (1,),
        "celeba_female": (0,),
    }
    key = benchmark.removeprefix("mnist_")
    assert parameters_of(benchmark).data.normal_classes == named[key]


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(
    st.tuples(*[st.integers(0, 8)] * 4),
    st.tuples(st.integers(1, 10), st.integers(1, 10)),
    st.sampled_from([None, 1, 30]),
    st.booleans(),
    st.integers(0, 5),
)
def test_groups_are_disjoint_pure_and_as_large_as_asked(
    training, evaluation, judge, with_test, seed
):
    counts = dict(zip(COUNTS, (*training, *evaluation, judge), strict=True))
    classes, is_test = small_source(with_test)
    split = split_images(classes, is_test, (0, 2, 4, 6, 8), counts, seed)
    sensitive = is_sensitive(classes, (0, 2, 4, 6, 8))
    groups = np.concatenate(split[:5])
    assert len(np.unique(groups)) == len(groups)
    assert int((~sensitive[split.unlabeled]).sum()) == counts["unlabeled_normal"]
    assert int(sensitive[split.unlabeled].sum()) == counts["unlabeled_sensitive"]
    assert sensitive[split.labeled_sensitive].tolist() == [True] * counts["labeled_sensitive"]
    assert sensitive[split.labeled_normal].tolist() == [False] * counts["labeled_normal"]
    assert sensitive[split.test].tolist() == [False] * counts["test"]
    assert sensitive[split.heldout].tolist() == [True] * counts["heldout_sensitive"]
    held_out = {*split.test.tolist(), *split.heldout.tolist()}
    assert held_out.isdisjoint(split.judge.tolist())
    assert len(np.unique(split.judge)) == len(split.judge)
    left = int((~is_test).sum()) if with_test else len(classes) - len(held_out)
    assert len(split.judge) == (left if judge is None else judge)


def test_same_seed_gives_the_same_split():
    for one, other in zip(split_small(seed=3), split_small(seed=3), strict=True):
        assert same(one, other)


def test_another_seed_draws_other_images_for_u_and_s_only():
    one, other = split_small(seed=0, judge=50), split_small(seed=1, judge=50)
    assert set(one.unlabeled.tolist()) != set(other.unlabeled.tolist())
    assert set(one.labeled_sensitive.tolist()) != set(other.labeled_sensitive.tolist())
    assert same(one.test, other.test)
    assert same(one.heldout, other.heldout)
    assert same(one.judge, other.judge)


def test_groups_of_evaluation_do_not_depend_on_the_counts_of_training():
    one, other = (
        split_small(),
        split_small(unlabeled_normal=10, unlabeled_sensitive=1, labeled_sensitive=2),
    )
    assert same(one.test, other.test)
    assert same(one.heldout, other.heldout)
    assert same(one.judge, other.judge)


def test_sensitive_images_of_u_are_not_told_by_their_place():
    classes, is_test = small_source(per_class=200)
    counts = {**COUNTS, "unlabeled_normal": 500, "unlabeled_sensitive": 500}
    split = split_images(classes, is_test, (0, 2, 4, 6, 8), counts, seed=0)
    first_half = is_sensitive(classes, (0, 2, 4, 6, 8))[split.unlabeled][:500]
    assert 0.4 < first_half.mean() < 0.6


def test_every_class_has_its_part_in_u():
    classes, is_test = small_source(per_class=200)
    split = split_images(
        classes, is_test, (0, 2, 4, 6, 8), {**COUNTS, "unlabeled_normal": 500}, seed=0
    )
    of_each = np.bincount(classes[split.unlabeled], minlength=10)[::2]
    assert of_each.sum() == 500
    assert of_each.min() > 70


def test_the_first_test_images_are_taken_where_there_is_a_test_partition():
    _, is_test = small_source(with_test=True)
    split = split_small(with_test=True, test=3, heldout_sensitive=2)
    assert split.test.tolist() == [160, 162, 164]
    assert split.heldout.tolist() == [161, 163]
    assert is_test[160:].all()
    assert not is_test[:160].any()


def test_the_judge_gets_every_image_that_is_not_held_out_unless_told_otherwise():
    classes, _ = small_source()
    everything, some = split_small(), split_small(judge=50)
    assert sorted([*everything.judge, *everything.test, *everything.heldout]) == list(
        range(len(classes))
    )
    assert len(np.unique(some.judge)) == 50


@pytest.mark.parametrize(
    ("field", "most"),
    [
        # There are 100 normal and 100 sensitive images; each group is drawn from what those before
        # it leave.
        ("test", 100),
        ("heldout_sensitive", 100),
        ("unlabeled_normal", 100 - 6),
        ("unlabeled_sensitive", 100 - 7),
        ("labeled_sensitive", 100 - 7),
        ("judge", 200 - 6 - 7),
    ],
)
def test_a_count_above_what_exists_is_refused_naming_the_field(field, most):
    counts = {"unlabeled_normal": 0, "unlabeled_sensitive": 0, "labeled_sensitive": 0}
    split_small(**{**counts, field: most})
    with pytest.raises(InvalidInput, match=rf"counts: .*{field}.* asks for {most + 1} "):
        split_small(**{**counts, field: most + 1})


def test_the_sensitive_images_of_u_and_of_s_are_counted_together():
    split_small(unlabeled_sensitive=50, labeled_sensitive=43)
    with pytest.raises(
        InvalidInput,
        match=r"labeled_sensitive \+ unlabeled_sensitive asks for 94 images, but only 93",
    ):
        split_small(unlabeled_sensitive=50, labeled_sensitive=44)


@pytest.mark.parametrize("field", ["test", "heldout_sensitive"])
def test_more_test_images_than_the_partition_holds_are_refused(field):
    with pytest.raises(
        InvalidInput, match=rf"counts: {field} asks for 21 images.*test partition has 20"
    ):
        split_small(with_test=True, **{field: 21})
    assert (
        len(getattr(split_small(with_test=True, **{field: 20}), field.removesuffix("_sensitive")))
        == 20
    )


def test_a_test_partition_without_normal_images_is_refused():
    classes, is_test = small_source(with_test=True)
    with pytest.raises(InvalidInput, match=r"counts: test asks for 6 images.*has 0"):
        split_images(classes, is_test & (classes % 2 == 1), (0, 2, 4, 6, 8), COUNTS, seed=0)


@pytest.mark.parametrize("field", ["test", "heldout_sensitive"])
def test_a_benchmark_without_test_images_is_refused(field):
    raw = parameters_of("test").model_dump()
    raw["data"]["counts"][field] = 0
    with pytest.raises(
        InvalidInput, match=rf"data\.counts\.{field}: .*greater than or equal to [12]"
    ):
        load_parameters(raw)


def test_a_normal_class_that_the_source_has_not_is_refused():
    with pytest.raises(InvalidInput, match=r"normal_classes: no image of class \[10, 12\]"):
        split_images(*small_source(), (0, 10, 12), COUNTS, seed=0)


def test_classes_that_are_not_normal_are_sensitive():
    classes = np.array([0, 1, 2, 3, 4, 1])
    assert is_sensitive(classes, (0, 2, 4)).tolist() == [False, True, False, True, False, True]


def test_labeled_normal_images_are_normal_and_of_no_other_group():
    classes, _ = small_source()
    split, without = split_small(labeled_normal=8), split_small()
    assert len(split.labeled_normal) == 8
    assert len(without.labeled_normal) == 0
    assert not is_sensitive(classes[split.labeled_normal], (0, 2, 4, 6, 8)).any()
    for name in ("unlabeled", "labeled_sensitive", "test", "heldout"):
        assert set(split.labeled_normal.tolist()).isdisjoint(getattr(split, name).tolist())
    assert same(np.sort(split.unlabeled), np.sort(without.unlabeled)), "U does not depend on N"


@pytest.mark.parametrize("with_test", [False, True])
def test_the_judge_of_the_paper_trains_on_the_whole_training_partition(with_test):
    classes, is_test = small_source(with_test)
    split = split_images(classes, is_test, (0, 2, 4, 6, 8), COUNTS, 0, judge_split="paper")
    assert split.judge.tolist() == np.flatnonzero(~is_test).tolist()
    assert set(split.test.tolist()).issubset(split.judge.tolist()) == (not with_test)
