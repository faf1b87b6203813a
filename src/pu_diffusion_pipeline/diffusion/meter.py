"""Means of training quantities between two log lines."""

from torch import Tensor


class Meter:
    """Means of named scalars over some steps, summed on the device so that no step waits for it."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._count = 0

    def add(self, values: dict[str, Tensor]) -> None:
        """Add the scalars of one step."""
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0) + value.detach()
        self._count += 1

    def flush(self) -> dict[str, float]:
        """The means since the last flush."""
        means = {name: float(total) / self._count for name, total in self._sums.items()}
        self._sums, self._count = {}, 0
        return means
