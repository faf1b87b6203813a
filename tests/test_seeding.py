import itertools
import random

import numpy as np
import torch

from pu_diffusion_pipeline.seeding import derive_seed, numpy_generator


def test_a_stream_has_the_same_seed_every_time_and_on_every_machine():
    # from pu_diffusion_pipeline.seeding import derive_seed
    # derive_seed(0, "split"), derive_seed(7, "batches", "unlabeled", 3)
    assert derive_seed(0, "split") == 3770521055
    assert derive_seed(7, "batches", "unlabeled", 3) == 2412353616


def test_seeds_fit_into_32_bits():
    seeds = [derive_seed(seed, "stream", step) for seed in (0, 2**32 - 1) for step in range(500)]
    assert all(0 <= seed < 2**32 for seed in seeds)
    assert max(seeds) > 2**31


def test_no_two_uses_in_a_run_share_a_seed():
    streams = [
        *itertools.product(["split", "denoiser", "pca", "folds", "judge", "judge_batches"]),
        *itertools.product(["score_model", "class_prior"], range(5)),
        *itertools.product(
            ["training_noise", "batches"], ["unlabeled", "labeled_sensitive"], range(50)
        ),
        *itertools.product(["batches"], ["union"], range(50)),
        *itertools.product(["starting_noise"], range(200)),
    ]
    seeds = [derive_seed(seed, *stream) for seed in (0, 1, 2) for stream in streams]
    assert len(set(seeds)) == len(seeds)


def test_order_of_the_words_matters():
    assert derive_seed(0, "a", "b") != derive_seed(0, "b", "a")
    assert derive_seed(1, "a", 2) != derive_seed(2, "a", 1)


def test_generator_draws_the_same_numbers_for_the_same_stream():
    one, again, other = (
        numpy_generator(0, name).integers(0, 2**31, 8).tolist() for name in ("a", "a", "b")
    )
    assert one == again != other


def test_generators_of_neighbouring_steps_are_not_correlated():
    draws = np.stack([numpy_generator(0, "noise", step).normal(size=2000) for step in range(6)])
    correlations = np.corrcoef(draws)[~np.eye(6, dtype=bool)]
    assert np.abs(correlations).max() < 0.1


def test_global_random_state_is_left_alone():
    before = torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()
    derive_seed(0, "a")
    numpy_generator(0, "a").normal(size=5)
    assert (
        torch.get_rng_state().tolist(),
        np.random.get_state()[1].tolist(),
        random.getstate(),
    ) == before
