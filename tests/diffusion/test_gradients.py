"""A batch in parts is the batch: gradients of the whole objective, also where its correction is active."""

import pytest
import torch

from pu_diffusion_pipeline.diffusion.objectives import build_objective
from pu_diffusion_pipeline.errors import InvalidInput
from tiny_training import TRAINED, images, losses, normal_images, train, trainer


def objective(method: str, beta: float = 0.1, correction: str = "non_negative"):
    return build_objective(method, beta, correction, 0.2)


def gradients(built, step: int = 0) -> torch.Tensor:
    """Of the first step's batch, as one vector."""
    sets = [images()[0][:7], images()[1][:3], normal_images()[:0]]
    built.gradients.backward(built.draws.at(step, sets, None, None))
    return torch.cat([weight.grad.flatten() for weight in built.denoiser.parameters()])


@pytest.mark.parametrize("accumulation", [2, 4, 8])
@pytest.mark.parametrize("beta", [0.1, 0.99])
@pytest.mark.parametrize("correction", ["non_negative", "absolute", "none"])
def test_a_batch_in_parts_has_the_gradients_of_the_batch(accumulation, beta, correction):
    active = 0
    for seed in range(4):
        built = [
            trainer(accumulation=parts, seed=seed, objective=objective("pu", beta, correction))
            for parts in (1, accumulation)
        ]
        whole, in_parts = map(gradients, built)
        torch.testing.assert_close(in_parts, whole, rtol=1e-4, atol=1e-5 * float(whole.abs().max()))
        draws = built[0].draws.at(0, [images()[0][:7], images()[1][:3], normal_images()[:0]], None, None)
        active += float(built[0].gradients.backward(draws)[1]["correction_active"])
    assert (active > 0) == (beta == 0.99), "the correction must be active for one beta and not for the other"


def test_a_mean_of_the_objectives_of_parts_would_be_another_gradient():
    """What accumulation must not do: the planted fault that the test above would find."""
    built = trainer(objective=objective("pu", 0.99))
    whole = gradients(built)
    built.optimizer.zero_grad()
    draws = built.draws.at(0, [images()[0][:7], images()[1][:3], normal_images()[:0]], None, None)
    for part in torch.arange(10).tensor_split(2):
        loss, _ = built.gradients.objective(built._error(draws.at(part)), draws.labels[part])
        (loss / 2).backward()
    naive = torch.cat([weight.grad.flatten() for weight in built.denoiser.parameters()])
    assert float((naive - whole).norm() / whole.norm()) > 0.1


@pytest.mark.parametrize("method", TRAINED)
@pytest.mark.parametrize("batches", ["stratified", "mixed"])
@pytest.mark.parametrize("accumulation", [4, 8])
def test_a_training_in_parts_is_the_training(method, batches, accumulation):
    """Within float32 rounding; of the losses, because weights without effect (a bias before a norm) drift under Adam.

    Eight parts are more than the images that unsupervised training computes of a batch.
    """
    whole, in_parts = (
        train(method, accumulation=parts, num_steps=20, batches=batches, learning_rate=1e-3)
        for parts in (1, accumulation)
    )
    assert losses(in_parts) == pytest.approx(losses(whole), rel=1e-5)


def test_parts_that_do_not_divide_the_batch_are_refused():
    with pytest.raises(InvalidInput, match=r"num_processes x accumulation must divide batch_size \(8\), .* got 1 x 3"):
        trainer(accumulation=3)


def test_a_denoiser_with_dropout_is_not_computed_in_parts():
    built = trainer()
    built.denoiser.mid_block.resnets[0].dropout = torch.nn.Dropout(0.1)
    built.gradients.__init__(built.accelerator, built.denoiser, built._error, built.gradients.objective, 8, 1)
    with pytest.raises(InvalidInput, match="a denoiser without dropout"):
        built.gradients.__init__(built.accelerator, built.denoiser, built._error, built.gradients.objective, 8, 2)
