"""Where and how precisely to compute: resolves `auto`."""

import ctypes
import platform
import warnings
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import InitProcessGroupKwargs

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

    warnings.filterwarnings("ignore", message=".*functools.lru_cache.*", module="torch._dynamo")  # of diffusers' code
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
    return isinstance(error, torch.OutOfMemoryError) or any(
        words in str(error) for words in ("can't allocate memory", "out of memory")
    )


def reuse_freed_memory() -> None:
    """Let the C library keep what is freed: every step allocates the same again, and new pages are slow to get.

    Only glibc is told (`mallopt`); elsewhere nothing changes. See docs/decisions/0005.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
    libc = ctypes.CDLL(None)
    if any(libc.mallopt(mmap_threshold, size) for size in (2**30, 2**25)):  # some versions take 32 MiB at most
        libc.mallopt(trim_threshold, 2**31 - 1)


def return_freed_memory() -> None:
    """Give the operating system back what `reuse_freed_memory` kept."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


MOST_TOKENS = 64  # 8x8 pixels, as in the paper's U-Net at 32x32; the plain products need memory for their square


def use_fast_attention(denoiser: Any, device: str) -> None:
    """On the CPU, plain matrix products for attention over few pixels: the flash kernel is slow for narrow heads."""
    from diffusers.models.attention_processor import Attention, AttnProcessor, AttnProcessor2_0

    plain, flash = AttnProcessor(), AttnProcessor2_0()

    class ByLength:
        def __call__(
            self, attn: Any, hidden_states: Any, encoder_hidden_states: Any = None, attention_mask: Any = None,
            temb: Any = None,
        ) -> Any:  # fmt: skip
            tokens = hidden_states.shape[2:].numel() if hidden_states.ndim == 4 else hidden_states.shape[1]
            chosen = plain if tokens <= MOST_TOKENS else flash
            return chosen(attn, hidden_states, encoder_hidden_states, attention_mask, temb)

    if device == "cpu":
        for layer in denoiser.modules():
            if isinstance(layer, Attention):
                layer.set_processor(ByLength())


def build_accelerator(device: str, precision: str) -> Accelerator:
    """accelerate on this device, in as many processes as were launched.

    Raises:
        RuntimeError: accelerate gives another device.
    """
    # accelerate keeps its settings process-wide and refuses others later: several trainings share our process.
    AcceleratorState._reset_state(reset_partial_state=True)
    # While one process looks at samples the others wait; elastic finds out about dead ones anyway.
    patience = InitProcessGroupKwargs(timeout=timedelta(days=7))
    mixed_precision = "no" if precision == "fp32" else precision
    accelerator = Accelerator(mixed_precision=mixed_precision, cpu=device == "cpu", kwargs_handlers=[patience])
    if accelerator.device.type != device:
        raise RuntimeError(f"asked accelerate for {device}, got {accelerator.device}")
    return accelerator
