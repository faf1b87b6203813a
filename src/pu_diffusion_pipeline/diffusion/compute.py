"""Where and how precisely to compute: resolves `auto`."""

from collections.abc import Callable
from typing import Any

import torch

from pu_diffusion_pipeline.errors import InvalidInput


def resolve_device(device: str) -> str:
    """`auto` becomes cuda, mps or cpu, in this order of preference."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return next(name for name, there in available.items() if there)
    if not available[device]:
        raise InvalidInput(f"compute.device is {device}, but this machine has none; write auto or cpu")
    return device


def resolve_precision(precision: str, device: str) -> str:
    """`auto` becomes bf16 where the hardware computes in it, fp16 on other CUDA devices, fp32 elsewhere."""
    if precision == "fp16" and device == "cpu":
        raise InvalidInput("compute.precision fp16 needs a GPU; write auto, bf16 or fp32")
    if precision != "auto":
        return precision
    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    if device == "cpu" and torch.cpu._is_avx512_bf16_supported():
        return "bf16"
    return "fp32"


def autocast(device: str, precision: str) -> torch.autocast:
    """Mixed precision for inference: weights stay float32."""
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[precision]
    return torch.autocast(device, dtype=dtype, enabled=precision != "fp32")


def compile_denoiser(denoiser: Any) -> Callable[..., Any]:
    """The denoiser through torch.compile, which compiles at the first call.

    Raises:
        InvalidInput: (at that call) it cannot be compiled here.
    """
    from torch._dynamo.exc import TorchDynamoException
    from torch._inductor.exc import InductorError

    compiled = torch.compile(denoiser)

    def call(*inputs: Any, **named: Any) -> Any:
        try:
            return compiled(*inputs, **named)
        except (TorchDynamoException, InductorError) as error:
            reason = str(error).strip().splitlines()[0]
            raise InvalidInput(
                f"compute.compile: torch.compile does not work here ({reason}); install a C++ compiler, or write false"
            ) from error

    return call


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether an allocation on a GPU or in main memory has failed."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
