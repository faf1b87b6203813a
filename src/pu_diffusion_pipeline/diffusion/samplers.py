"""The samplers: diffusers' schedulers with the forward process that a denoiser was trained with."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from pu_diffusion_pipeline.errors import InvalidInput

if TYPE_CHECKING:
    from diffusers import SchedulerMixin

    from pu_diffusion_pipeline.diffusion.interfaces import NoiseScheduler


DEFAULTS = "_use_default_values"  # of a configuration: what another scheduler may change


class Sampler(NamedTuple):
    """A kind of sampler.

    Attributes:
        build: (configuration of the noise scheduler, spacing of the noise levels) to diffusers'
            scheduler. The spacing is `karras` (Karras et al. 2022), `exponential` (even in log
            sigma), or None: its own.
        takes_sigmas: whether it can step at other noise levels than its own.
    """

    build: Callable[[Mapping[str, object], str | None], "SchedulerMixin"]
    takes_sigmas: bool = False


def _ddpm(config: Mapping[str, object], sigmas: str | None) -> "SchedulerMixin":
    """Ancestral sampling (Ho et al. 2020)."""
    from diffusers import DDPMScheduler

    return DDPMScheduler.from_config(config)


def _ddim(config: Mapping[str, object], sigmas: str | None) -> "SchedulerMixin":
    """DDIM with eta 0: no noise on the way (Song et al. 2020a)."""
    from diffusers import DDIMScheduler

    return DDIMScheduler.from_config(config)


def _dpm_solver(config: Mapping[str, object], sigmas: str | None) -> "SchedulerMixin":
    """DPM-Solver++ of second order (Lu et al. 2022)."""
    return _multistep(config, sigmas, "dpmsolver++")


def _sde_dpm_solver(config: Mapping[str, object], sigmas: str | None) -> "SchedulerMixin":
    """Its stochastic form."""
    return _multistep(config, sigmas, "sde-dpmsolver++")


def _multistep(
    config: Mapping[str, object], sigmas: str | None, algorithm: str
) -> "SchedulerMixin":
    from diffusers import DPMSolverMultistepScheduler

    # The cosine schedule's log-SNR runs to minus infinity; diffusers documents this bound for it.
    is_cosine = config["beta_schedule"] == "squaredcos_cap_v2"
    clipping = {"lambda_min_clipped": -5.1} if is_cosine else {}
    spacing = {f"use_{name}_sigmas": name == sigmas for name in ("karras", "exponential")}
    return DPMSolverMultistepScheduler.from_config(
        config, algorithm_type=algorithm, **spacing, **clipping
    )


SAMPLERS: dict[str, Sampler] = {
    "ddpm": Sampler(_ddpm),
    "ddim": Sampler(_ddim),
    "dpm_solver++": Sampler(_dpm_solver, takes_sigmas=True),
    "sde_dpm_solver++": Sampler(_sde_dpm_solver, takes_sigmas=True),
}


def build_sampler(
    noise_scheduler: "NoiseScheduler",
    name: str,
    sigmas: str | None = None,
    num_steps: int | None = None,
) -> "SchedulerMixin":
    """The diffusers scheduler of a sampler, with the forward process of `noise_scheduler`.

    Args:
        noise_scheduler: of the training, with T time steps.
        name: one of `SAMPLERS`.
        sigmas: as for `Sampler.build`.
        num_steps: how many it will take. DDPM and DDIM step by T // num_steps from below; where
            that leaves a remainder they would begin below T, at pure noise. So they step from T.
    """
    if name not in SAMPLERS:
        raise InvalidInput(f"sampler must be one of {', '.join(SAMPLERS)}, got {name!r}")
    config = noise_scheduler.config
    is_uneven = num_steps is not None and config["num_train_timesteps"] % num_steps
    if is_uneven and not SAMPLERS[name].takes_sigmas:
        given = {name: value for name, value in config.items() if name != DEFAULTS}
        config = {**given, "timestep_spacing": "trailing"}
    return SAMPLERS[name].build(config, sigmas)
