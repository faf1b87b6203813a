"""Where and how precisely to compute: resolves `auto`."""

import ctypes
import os
import platform
import warnings
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import InitProcessGroupKwargs
from torch import Tensor, nn

from pu_diffusion_pipeline.diffusion.interfaces import Denoiser, Prediction
from pu_diffusion_pipeline.diffusion.options import ComputeOptions
from pu_diffusion_pipeline.errors import InvalidInput

if TYPE_CHECKING:
    from diffusers.models.attention_processor import Attention

# Where processes of one machine meet: a file, in the place of torch's server on all interfaces.
MEETING_VARIABLE = "PU_DIFFUSION_MEETING"
# While one process looks at samples the others wait. Who started them notices dead ones.
PATIENCE = timedelta(days=7)
MOST_TOKENS = 64  # 8x8 pixels, as in the paper's U-Net at 32x32; plain products need its square


class Compute(NamedTuple):
    """Where and how precisely to compute, with `auto` resolved.

    Attributes:
        device: cuda, mps or cpu.
        precision: fp32, bf16 or fp16.
        channels_last: whether images and weights are kept in this memory layout.
    """

    device: str
    precision: str = "fp32"
    channels_last: bool = False


def resolve_compute(options: ComputeOptions) -> Compute:
    """Resolve `auto` on this machine.

    Raises:
        InvalidInput: the machine has no such device, or it does not compute in that precision.
    """
    device = resolve_device(options.device)
    precision = resolve_precision(options.precision, device)
    return Compute(device, precision, options.channels_last)


def resolve_device(device: str) -> str:
    """Replace `auto` by cuda, mps or cpu, in this order of preference."""
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if device == "auto":
        return next(name for name, is_there in available.items() if is_there)
    if device not in available:
        raise InvalidInput(f"device: expected auto, cuda, mps or cpu, got {device!r}")
    if not available[device]:
        raise InvalidInput(f"device is {device}, but this machine has none; write auto or cpu")
    return device


def resolve_precision(precision: str, device: str) -> str:
    """Replace `auto` by bf16 if the hardware has it, else by fp16 on CUDA and fp32 elsewhere."""
    if precision == "fp16" and device == "cpu":
        raise InvalidInput("precision fp16 needs a GPU; write auto, bf16 or fp32")
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


def compile_denoiser(denoiser: nn.Module) -> Denoiser:
    """The denoiser through torch.compile, which compiles at the first call.

    Raises:
        InvalidInput: (at that call) it cannot be compiled here.
    """
    from torch._dynamo.exc import TorchDynamoException
    from torch._inductor.exc import InductorError

    # diffusers' code causes this warning.
    warnings.filterwarnings("ignore", message=".*functools.lru_cache.*", module="torch._dynamo")
    compiled = torch.compile(denoiser)

    def predict(noisy_images: Tensor, timesteps: Tensor, /, **conditions: Tensor) -> Prediction:
        try:
            return compiled(noisy_images, timesteps, **conditions)
        except (TorchDynamoException, InductorError) as error:
            reason = str(error).strip().splitlines()[0]
            raise InvalidInput(
                f"compute.compile: torch.compile does not work here ({reason}); install a C++ "
                "compiler, or write false"
            ) from error

    return predict


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether an allocation on a GPU or in main memory has failed."""
    return isinstance(error, torch.OutOfMemoryError) or any(
        words in str(error) for words in ("can't allocate memory", "out of memory")
    )


def reuse_freed_memory() -> None:
    """Let the C library keep freed memory.

    Every step allocates the same sizes again, and new pages are slow to get. This works with glibc
    only (`mallopt`); elsewhere nothing changes. See docs/decisions/0005.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    trim_threshold = -1  # M_TRIM_THRESHOLD of malloc.h
    mmap_threshold = -3  # M_MMAP_THRESHOLD
    libc = ctypes.CDLL(None)
    # Some versions take 32 MiB at most.
    if any(libc.mallopt(mmap_threshold, size) for size in (2**30, 2**25)):
        libc.mallopt(trim_threshold, 2**31 - 1)


def return_freed_memory() -> None:
    """Give the operating system back what `reuse_freed_memory` kept."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def use_fast_attention(denoiser: nn.Module, device: str) -> None:
    """On the CPU, use plain matrix products for attention over few pixels.

    The flash kernel is slow for narrow heads.
    """
    from diffusers.models.attention_processor import Attention, AttnProcessor, AttnProcessor2_0

    plain = AttnProcessor()
    flash = AttnProcessor2_0()

    class ByLength:
        def __call__(
            self,
            attn: "Attention",
            hidden_states: Tensor,
            encoder_hidden_states: Tensor | None = None,
            attention_mask: Tensor | None = None,
            temb: Tensor | None = None,
        ) -> Tensor:
            is_image = hidden_states.ndim == 4  # (B, C, H, W), else (B, tokens, C)
            num_tokens = hidden_states.shape[2:].numel() if is_image else hidden_states.shape[1]
            chosen = plain if num_tokens <= MOST_TOKENS else flash
            return chosen(attn, hidden_states, encoder_hidden_states, attention_mask, temb)

    if device == "cpu":
        for layer in denoiser.modules():
            if isinstance(layer, Attention):
                layer.set_processor(ByLength())


def _meet(meeting: str, device: str) -> None:
    """Join the other processes of this machine; accelerate then takes the group as it is.

    `meeting` is the path of a file.
    """
    if not torch.distributed.is_initialized():
        world_size = int(os.environ["WORLD_SIZE"])
        torch.distributed.init_process_group(
            "nccl" if device == "cuda" else "gloo",
            store=torch.distributed.FileStore(meeting, world_size),
            rank=int(os.environ["RANK"]),
            world_size=world_size,
            timeout=PATIENCE,
        )


def build_accelerator(device: str, precision: str) -> Accelerator:
    """Set up accelerate on this device, in as many processes as were launched.

    Raises:
        RuntimeError: accelerate gives another device.
    """
    # accelerate keeps its settings process-wide and refuses others later: several trainings share
    # our process.
    AcceleratorState._reset_state(reset_partial_state=True)
    if meeting := os.environ.get(MEETING_VARIABLE):
        _meet(meeting, device)
    group = InitProcessGroupKwargs(timeout=PATIENCE)
    mixed_precision = "no" if precision == "fp32" else precision
    accelerator = Accelerator(
        mixed_precision=mixed_precision, cpu=device == "cpu", kwargs_handlers=[group]
    )
    if accelerator.device.type != device:
        raise RuntimeError(f"asked accelerate for {device}, got {accelerator.device}")
    return accelerator
