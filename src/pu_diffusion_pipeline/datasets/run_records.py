"""The metrics of every finished run of a benchmark.

kedro-datasets' PartitionedDataset does not exist before the first partition is there: it cannot be read by a pipeline
that makes the first one.
"""

import json
from pathlib import Path
from typing import Any

from pu_diffusion_pipeline.datasets.read_only import ReadOnlyDataset
from pu_diffusion_pipeline.errors import InvalidInput


class RunRecordsDataset(ReadOnlyDataset):
    """Reads `<method>/<run>/metrics.json` below a folder, as they are when it is read.

    Args:
        filepath: the folder; it need not exist.
        metadata: for kedro-viz.
    """

    def load(self) -> dict[str, dict[str, Any]]:
        """Run (`<method>/<run>`) to its record."""
        folder, records = Path(self._filepath), {}
        for path in sorted(folder.glob("*/*/metrics.json")):
            try:
                records[path.parent.relative_to(folder).as_posix()] = json.loads(path.read_text())
            except ValueError as error:
                raise InvalidInput(f"{path} is damaged ({error}); delete it and evaluate that run again") from error
        return records
