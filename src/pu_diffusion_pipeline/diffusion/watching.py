"""Looking at a model while it trains: what the trainer asks of a watcher, and where one lives."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor


class Watcher(Protocol):
    """Looks at the model while it trains."""

    every: int
    """Steps between two looks."""

    def check(self, num_steps: int) -> None:
        """Refuse a training of that length before it begins, if it could not be watched as asked."""
        ...

    def look(self, step: int, denoiser: Any) -> None:
        """Sample from the denoiser, which is in evaluation mode, measure, and write down what was found."""
        ...

    def weights_to_return(self) -> dict[str, Tensor] | None:
        """The weights that become the model; None for the last ones."""
        ...


@dataclass(frozen=True)
class WatchPlace:
    """Where a watcher finds what it needs, and writes; nothing of it is read before somebody watches.

    Attributes:
        folder: its own.
        judge: the judge's folder.
        test_images: folder of the real normal images.
        reference_features: folder of their features, if they were made already.
    """

    folder: Path
    judge: Path
    test_images: Path
    reference_features: Path
