"""A batch in parts has the gradients of the batch, also where the correction is active."""

from functools import cache

import pytest
import torch

from pu_diffusion_pipeline.diffusion.objectives import build_objective
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.training.draws import Draws
from pu_diffusion_pipeline.training.gradients import BatchGradients
from tiny_training import TRAINED, images, losses, normal_images, prepared, train


def objective(method: str, beta: float = 0.1, correction: str = "non_negative"):
    return build_objective(method, beta, correction, 0.2)


def gradients(built, step: int = 0) -> torch.Tensor:
    """Of the first step's batch, as one vector."""
    built.gradients.backward(drawn(built, step))
    return torch.cat([weight.grad.flatten() for weight in built.learner.denoiser.parameters()])


def drawn(built, step: int = 0) -> Draws:
    """Seven images of U and three of S."""
    pictures = [images()[0][:7], images()[1][:3], normal_images()[:0]]
    return built.draws.random.for_step(step, pictures, None)


@pytest.mark.parametrize("micro_batches", [2, 8])
@pytest.mark.parametrize("beta", [0.1, 0.99])
@pytest.mark.parametrize("correction", ["non_negative", "absolute", "none"])
def test_a_batch_in_parts_has_the_gradients_of_the_batch(micro_batches, beta, correction):
    active = 0
    for seed in range(2):
        built = [
            prepared(minimised=objective("pu", beta, correction), micro_batches=parts, seed=seed)
            for parts in (1, micro_batches)
        ]
        whole, in_parts = map(gradients, built)
        torch.testing.assert_close(in_parts, whole, rtol=1e-4, atol=1e-5 * float(whole.abs().max()))
        _, risks = built[0].gradients.backward(drawn(built[0]))
        active += float(risks["correction_active"])
    assert (active > 0) == (beta == 0.99), (
        "the correction must be active for one beta and not for the other"
    )


def test_a_mean_of_the_objectives_of_parts_would_be_another_gradient():
    """What micro-batches must not do: the planted fault that the test above would find."""
    built = prepared(minimised=objective("pu", 0.99))
    whole = gradients(built)
    built.learner.optimizer.zero_grad()
    draws = drawn(built)
    for part in torch.arange(10).tensor_split(2):
        loss, _ = built.gradients.objective(
            built.gradients.error(draws.select(part)), draws.labels[part]
        )
        (loss / 2).backward()
    naive = torch.cat([weight.grad.flatten() for weight in built.learner.denoiser.parameters()])
    assert float((naive - whole).norm() / whole.norm()) > 0.1


@pytest.mark.parametrize("method", TRAINED)
@pytest.mark.parametrize("batches", ["stratified", "mixed"])
@pytest.mark.parametrize("micro_batches", [4, 8])
def test_a_training_in_parts_is_the_training(method, batches, micro_batches):
    """Within float32 rounding; of the losses, because weights without effect (a bias before a norm)
    drift under Adam.

    Eight parts are more than the images that unsupervised training computes of a batch.
    """
    whole = losses_in_parts(method, batches, 1)
    assert losses_in_parts(method, batches, micro_batches) == pytest.approx(whole, rel=1e-5)


@cache
def losses_in_parts(method: str, batches: str, parts: int) -> list[float]:
    trained = train(method, micro_batches=parts, num_steps=4, batches=batches, learning_rate=1e-3)
    return losses(trained)


def test_parts_that_do_not_divide_the_batch_are_refused():
    with pytest.raises(
        InvalidInput,
        match=r"num_processes x micro_batches must divide batch_size \(8\), .* got 1 x 3",
    ):
        prepared(micro_batches=3)


def test_a_denoiser_with_dropout_is_not_computed_in_parts():
    built = prepared()
    denoiser = built.learner.denoiser
    denoiser.mid_block.resnets[0].dropout = torch.nn.Dropout(0.1)

    def gradients_in(parts: int) -> BatchGradients:
        made = built.gradients
        return BatchGradients(made.accelerator, denoiser, made.error, made.objective, 8, parts)

    gradients_in(1)
    with pytest.raises(InvalidInput, match="a denoiser without dropout"):
        gradients_in(2)
