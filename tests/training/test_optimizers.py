"""Laws of the optimizers."""

import pytest
import torch

from diffusion.test_sampler import tiny_denoiser
from pu_diffusion_pipeline.training import optimizers
from pu_diffusion_pipeline.training.optimizers import (
    build_optimizer,
    load_optimizer,
    num_moments,
)
from tiny_training import parameters

ALL = pytest.mark.parametrize("muon_learning_rate", [None, 0.02])


def options(**changes):
    return parameters(**changes).training


def stepped(denoiser, optimizer, scale: float = 1.0) -> None:
    """One step on gradients that depend on the weights' shapes alone."""
    generator = torch.Generator().manual_seed(0)
    for weight in denoiser.parameters():
        weight.grad = scale * torch.randn(weight.shape, generator=generator)
    optimizer.step()


@ALL
def test_every_weight_is_moved_by_one_rule(muon_learning_rate):
    denoiser = tiny_denoiser()
    optimizer = build_optimizer(denoiser, options(muon_learning_rate=muon_learning_rate))
    held = [id(weight) for group in optimizer.param_groups for weight in group["params"]]
    assert sorted(held) == sorted(id(weight) for weight in denoiser.parameters())


def test_muon_moves_the_matrices_inside_and_adamw_the_ends_and_the_vectors():
    denoiser = tiny_denoiser()
    hidden, others = build_optimizer(denoiser, options(muon_learning_rate=0.02)).param_groups
    names = {id(weight): name for name, weight in denoiser.named_parameters()}
    by_muon = {names[id(weight)] for weight in hidden["params"]}
    assert hidden["use_muon"]
    assert not others["use_muon"]
    assert "mid_block.resnets.0.conv1.weight" in by_muon
    assert not [name for name in by_muon if name.startswith(("conv_in", "conv_out", "time_emb"))]
    assert all(denoiser.get_parameter(name).ndim >= 2 for name in by_muon)


def test_a_step_of_muon_is_as_long_in_every_direction_whatever_the_gradients_scale():
    moved = []
    for scale in (1.0, 1e-3):
        denoiser = tiny_denoiser()
        weight = denoiser.mid_block.resnets[0].conv1.weight
        before = weight.detach().clone()
        stepped(denoiser, build_optimizer(denoiser, options(muon_learning_rate=0.02)), scale)
        moved.append((weight.detach() - before).flatten(1))
    lengths = torch.linalg.svdvals(moved[0]) / 0.02
    assert lengths.min() > 0.6  # five Newton-Schulz steps end near 1
    assert lengths.max() < 1.3
    torch.testing.assert_close(moved[0], moved[1], rtol=0.05, atol=1e-4)


@ALL
def test_the_moments_are_counted_before_they_exist(muon_learning_rate):
    denoiser = tiny_denoiser()
    optimizer = build_optimizer(denoiser, options(muon_learning_rate=muon_learning_rate))
    expected = num_moments(optimizer)
    stepped(denoiser, optimizer)
    kept = [value for state in optimizer.state.values() for value in state.values()]
    assert sum(value.numel() for value in kept if value.ndim > 0) == expected


@ALL
def test_a_saved_state_goes_on_as_if_nothing_had_been(muon_learning_rate):
    def trained(*, is_interrupted: bool) -> dict[str, torch.Tensor]:
        denoiser = tiny_denoiser()
        given = options(muon_learning_rate=muon_learning_rate)
        optimizer = build_optimizer(denoiser, given)
        stepped(denoiser, optimizer)
        if is_interrupted:
            state = optimizer.state_dict()
            optimizer = build_optimizer(denoiser, given)
            load_optimizer(optimizer, state)
        stepped(denoiser, optimizer)
        return denoiser.state_dict()

    interrupted, whole = trained(is_interrupted=True), trained(is_interrupted=False)
    assert all(torch.equal(interrupted[name], whole[name]) for name in whole)


def test_where_there_is_no_bf16_muon_steps_almost_the_same_in_fp32(monkeypatch):
    moved = {}
    for precision in ("bf16", "fp32"):
        monkeypatch.setattr(optimizers, "resolve_precision", lambda *_, found=precision: found)
        denoiser = tiny_denoiser()
        before = {name: one.detach().clone() for name, one in denoiser.named_parameters()}
        stepped(denoiser, build_optimizer(denoiser, options(muon_learning_rate=0.02)))
        after = denoiser.named_parameters()
        moved[precision] = {name: one.detach() - before[name] for name, one in after}
    for name, move in moved["fp32"].items():
        rough = moved["bf16"][name]
        assert torch.linalg.norm(move - rough) < 0.05 * torch.linalg.norm(move), name
        by_muon = move.ndim >= 2 and not name.startswith(optimizers.ENDS)
        assert torch.equal(move, rough) != by_muon, name
