"""A step of training is one stream of work for a device: nothing waits, nothing is left behind."""

from collections import Counter

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from pu_diffusion_pipeline.diffusion.denoiser import build_denoiser
from pu_diffusion_pipeline.diffusion.noising import build_noise_scheduler, denoising_error
from pu_diffusion_pipeline.diffusion.objectives import build_objective
from pu_diffusion_pipeline.training.history import History
from pu_diffusion_pipeline.training.loop import training_steps
from pu_diffusion_pipeline.training.observers import Stopwatch, WeightAverage
from tiny_training import TRAINED, parameters, prepared

# What makes the processor wait until the device is done: values that are read, and shapes that
# depend on values; as operations, and as methods that are none on the CPU.
WAITS = {"_local_scalar_dense", "nonzero", "equal", "masked_select", "_unique2", "is_nonzero"}
MASKED = {"index", "index_put_"}
METHODS = {"cpu", "numpy", "tolist"}
DEVICE = "cuda"  # tensors without values: no GPU is needed


def is_mask(tensor) -> bool:
    return tensor is not None and tensor.dtype == torch.bool


class Waits(TorchDispatchMode):
    """Counts the operations that wait for the device."""

    def __init__(self) -> None:
        super().__init__()
        self.found = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        masked = name in MASKED and any(is_mask(one) for one in args[1])
        self.found.update([name] if masked or name in WAITS else [])
        return function(*args, **(kwargs or {}))


class Copies(TorchFunctionMode):
    """Counts the methods that bring a tensor to the processor."""

    def __init__(self) -> None:
        super().__init__()
        self.found = Counter()

    def __torch_function__(self, function, types, args=(), kwargs=None):
        name = getattr(function, "__name__", "")
        self.found.update([name] if name in METHODS else [])
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("method", "muon_learning_rate"), [*((name, None) for name in TRAINED), ("pu", 0.02)]
)
def test_no_step_waits_for_the_device(method, muon_learning_rate):
    options = {"num_steps": 100, "log_every": 50, "checkpoint_every": 50}
    options["muon_learning_rate"] = muon_learning_rate
    learner, draws, gradients = prepared(method, **options)
    stopwatch = Stopwatch()
    history = History(parameters(**options).training, stopwatch)
    observers = [WeightAverage(learner, 0.9), stopwatch, history]
    steps = training_steps(learner, draws, gradients)
    measured = next(steps)  # the optimizer makes its moments
    with Waits() as waits, Copies() as copies:
        for _ in range(3):
            for observer in observers:
                observer.after_step(learner, measured)
            measured = next(steps)
    assert not waits.found
    assert not copies.found


def test_reading_a_value_is_noticed():
    mask = torch.tensor([True, False, True])
    with Waits() as waits, Copies() as copies:
        float(torch.ones(1))
        torch.ones(3)[mask]
        torch.ones(3)[mask] = 0
        torch.ones(3).cpu()
        torch.ones(3).tolist()
    assert waits.found == {"_local_scalar_dense": 1, "index": 1, "index_put_": 1}
    assert copies.found == {"cpu": 1, "tolist": 1}


@pytest.mark.parametrize("method", TRAINED)
@pytest.mark.parametrize("error_space", ["epsilon", "v_prediction"])
def test_errors_and_risks_stay_on_the_device_of_the_images(method, error_space):
    noise_scheduler = build_noise_scheduler(100, "squaredcos_cap_v2", "v_prediction")
    objective = build_objective(method, 0.1, "non_negative", gamma=0.2)
    built = build_denoiser(parameters().denoiser, 16, 1, 0)
    with FakeTensorMode(allow_non_fake_inputs=True):
        with torch.device(DEVICE):
            denoiser = type(built).from_config(built.config)
        images, noise = torch.zeros(2, 6, 1, 16, 16, device=DEVICE)
        timesteps = torch.zeros(6, dtype=torch.int64, device=DEVICE)
        labels = torch.zeros(6, dtype=torch.int64, device=DEVICE)
        error = denoising_error(
            denoiser, noise_scheduler, images, noise, timesteps, error_space=error_space
        )
        loss, risks = objective(error, labels, torch.zeros(6, device=DEVICE))
        assert {value.device.type for value in (error, loss, *risks.values())} == {DEVICE}
