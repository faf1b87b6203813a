import pytest
import torch

from pu_diffusion_pipeline.diffusion.compute import (
    autocast,
    resolve_device,
    resolve_precision,
    return_freed_memory,
    reuse_freed_memory,
    use_fast_attention,
)
from pu_diffusion_pipeline.diffusion.denoiser import build_denoiser
from pu_diffusion_pipeline.errors import InvalidInput
from tiny_training import parameters


@pytest.fixture
def machine(monkeypatch):
    """A function that makes torch report another machine than this one."""

    def describe(cuda=False, mps=False, cuda_bf16=False, cpu_bf16=False) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: cuda_bf16)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: cpu_bf16)

    return describe


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(True, True, "cuda"), (True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_auto_prefers_cuda_then_mps_then_the_cpu(machine, cuda, mps, expected):
    machine(cuda=cuda, mps=mps)
    assert resolve_device("auto") == expected


def test_a_device_that_is_there_is_used(machine):
    machine(cuda=True, mps=True)
    assert [resolve_device(name) for name in ("cpu", "mps", "cuda")] == ["cpu", "mps", "cuda"]


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_refused(machine, device):
    machine()
    with pytest.raises(InvalidInput, match=rf"^device is {device}, but this machine has none"):
        resolve_device(device)


@pytest.mark.parametrize(
    ("device", "bf16", "expected"),
    [
        ("cuda", True, "bf16"),
        ("cuda", False, "fp16"),
        ("cpu", True, "bf16"),
        ("cpu", False, "fp32"),
        ("mps", True, "fp32"),
    ],
)
def test_auto_precision_is_what_the_hardware_computes_in(machine, device, bf16, expected):
    machine(cuda_bf16=bf16, cpu_bf16=bf16)
    assert resolve_precision("auto", device) == expected


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_precision_asked_for_is_kept(precision, device):
    assert resolve_precision(precision, device) == precision


def test_half_precision_needs_a_gpu():
    with pytest.raises(InvalidInput, match=r"^precision fp16 needs a GPU"):
        resolve_precision("fp16", "cpu")
    assert resolve_precision("fp16", "cuda") == "fp16"


def test_autocast_computes_in_the_precision_asked_for_and_keeps_weights_in_float32():
    layer = torch.nn.Linear(8, 8)
    images = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        plain = layer(images)
        with autocast("cpu", "bf16"):
            half = layer(images)
        with autocast("cpu", "fp32"):
            full = layer(images)
    assert half.dtype == torch.bfloat16
    assert torch.equal(full, plain)
    assert layer.weight.dtype == torch.float32
    torch.testing.assert_close(half.float(), plain, atol=0.05, rtol=0.05)


def test_fast_attention_is_the_same_function():
    settings = parameters()
    denoiser = build_denoiser(settings.denoiser, 16, 1, 0)
    images, timesteps = torch.randn(3, 1, 16, 16), torch.tensor([1, 20, 49])
    with torch.inference_mode():
        before = denoiser(images, timesteps).sample
        use_fast_attention(denoiser, "cpu")
        after = denoiser(images, timesteps).sample
    assert type(denoiser.mid_block.attentions[0].processor).__name__ == "ByLength"
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)


def test_keeping_and_returning_freed_memory_is_accepted_by_the_c_library():
    reuse_freed_memory()
    return_freed_memory()
