import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pu_diffusion_pipeline.training.batches import ShuffledEpochs, build_batches, length_in_steps

quick = settings(max_examples=40, deadline=None, derandomize=True, database=None)
sizes = st.integers(1, 40)
batch_sizes = st.integers(2, 30)
kinds = st.sampled_from(["stratified", "mixed"])
seeds = st.integers(0, 3)


def sequence(batches, num_steps: int) -> tuple[list[list[int]], list[list[int]]]:
    """Rows of U and rows of S of each step."""
    drawn = [batches.for_step(step) for step in range(num_steps)]
    return [batch.unlabeled.tolist() for batch in drawn], [
        batch.labeled_sensitive.tolist() for batch in drawn
    ]


@quick
@given(sizes, sizes, batch_sizes, seeds)
def test_stratified_quotas_are_exact_and_leave_no_batch_without_u_or_s(
    num_unlabeled, num_labeled, batch_size, seed
):
    unlabeled, labeled = sequence(
        build_batches("stratified", num_unlabeled, num_labeled, batch_size, seed), 7
    )
    share = batch_size * num_labeled / (num_labeled + num_unlabeled)
    quota = {len(rows) for rows in labeled}
    assert len(quota) == 1
    quota = quota.pop()
    assert 1 <= quota <= batch_size - 1
    assert abs(quota - share) <= 0.5 or quota in (1, batch_size - 1)
    assert {len(rows) for rows in unlabeled} == {batch_size - quota}


@quick
@given(sizes, sizes, batch_sizes, seeds)
def test_stratified_batches_visit_every_row_of_u_and_of_s_once_in_each_pass(
    num_unlabeled, num_labeled, batch_size, seed
):
    num_steps = 3 * max(num_unlabeled, num_labeled)
    drawn = sequence(
        build_batches("stratified", num_unlabeled, num_labeled, batch_size, seed), num_steps
    )
    for size, steps in zip((num_unlabeled, num_labeled), drawn, strict=True):
        rows = np.concatenate(steps)
        passes = rows[: len(rows) // size * size].reshape(-1, size)
        assert len(passes) >= 3
        assert (np.sort(passes, axis=1) == np.arange(size)).all()


@quick
@given(sizes, sizes, batch_sizes, seeds)
def test_mixed_batches_visit_every_row_of_the_union_once_in_each_pass(
    num_unlabeled, num_labeled, batch_size, seed
):
    num_images = num_unlabeled + num_labeled
    batches = build_batches("mixed", num_unlabeled, num_labeled, batch_size, seed)
    unlabeled, labeled = sequence(batches, num_images)  # batch_size passes
    assert all(len(u) + len(s) == batch_size for u, s in zip(unlabeled, labeled, strict=True))
    for size, steps in ((num_unlabeled, unlabeled), (num_labeled, labeled)):
        assert (
            np.bincount(np.concatenate(steps).astype(int), minlength=size).tolist()
            == [batch_size] * size
        )


@quick
@given(
    kinds, sizes, sizes, batch_sizes, seeds, st.lists(st.integers(0, 60), min_size=1, max_size=6)
)
def test_any_step_alone_is_the_same_as_in_the_whole_sequence(
    kind, num_unlabeled, num_labeled, batch_size, seed, steps
):
    unlabeled, labeled = sequence(
        build_batches(kind, num_unlabeled, num_labeled, batch_size, seed), 61
    )
    fresh = build_batches(kind, num_unlabeled, num_labeled, batch_size, seed)
    for step in steps:  # in any order, also backwards
        batch = fresh.for_step(step)
        assert batch.unlabeled.tolist() == unlabeled[step]
        assert batch.labeled_sensitive.tolist() == labeled[step]


@pytest.mark.parametrize("kind", ["stratified", "mixed"])
def test_another_seed_gives_another_order(kind):
    one, other = (sequence(build_batches(kind, 50, 10, 12, seed), 5) for seed in (0, 1))
    assert one[0] != other[0]
    assert one[1] != other[1]


def test_every_pass_has_an_order_of_its_own():
    order = ShuffledEpochs(30, seed=0, name="unlabeled")
    passes = [order.rows(30 * epoch, 30).tolist() for epoch in range(4)]
    assert len({tuple(rows) for rows in passes}) == 4
    assert list(range(30)) not in passes


def test_u_and_s_of_one_size_are_not_shuffled_alike():
    unlabeled, labeled = sequence(build_batches("stratified", 30, 30, 60, seed=0), 1)
    assert unlabeled != labeled


def test_the_share_of_s_is_that_of_the_images():
    batch = build_batches("stratified", 27_500, 2_500, 120, seed=0).for_step(0)
    assert (len(batch.unlabeled), len(batch.labeled_sensitive)) == (110, 10)


def test_mixed_batches_may_hold_no_image_of_s():
    _, labeled = sequence(build_batches("mixed", 40, 1, 4, seed=0), 10)
    assert sorted(len(rows) for rows in labeled)[:9] == [0] * 9


@pytest.mark.parametrize("kind", ["stratified", "mixed"])
def test_labeled_normal_images_come_on_top(kind):
    plain, with_normal = (
        build_batches(kind, 50, 10, 16, seed=0, num_normal=number) for number in (0, 5)
    )
    drawn = []
    for step in range(5):
        one, other = plain.for_step(step), with_normal.for_step(step)
        assert one.unlabeled.tolist() == other.unlabeled.tolist()
        assert one.labeled_sensitive.tolist() == other.labeled_sensitive.tolist()
        assert (len(one.labeled_normal), len(other.labeled_normal)) == (0, 2)
        drawn += other.labeled_normal.tolist()
    assert sorted(drawn) == sorted([*range(5)] * 2), "two passes over all five"


def test_without_labeled_images_the_whole_batch_is_of_u():
    batch = build_batches("stratified", 50, 0, 16, seed=0).for_step(0)
    assert (len(batch.unlabeled), len(batch.labeled_sensitive)) == (16, 0)


@pytest.mark.parametrize(
    ("num_steps", "num_epochs", "num_images", "batch_size", "expected"),
    [
        (900, None, 30_000, 128, 900),
        (None, 100, 30_000, 128, 23_500),  # MNIST: 234.4 batches a pass
        (None, 2, 10, 5, 4),
        (None, 2, 11, 5, 6),
        (None, 1, 3, 5, 1),
    ],
)
def test_epochs_are_passes_over_u_and_s_with_a_last_batch_for_the_rest(
    num_steps, num_epochs, num_images, batch_size, expected
):
    assert length_in_steps(num_steps, num_epochs, num_images, batch_size) == expected
