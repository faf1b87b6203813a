"""One process of a training over several: `torchrun --nproc-per-node=N -m <this module> JOB_FOLDER`.

The node that trains starts it through torch elastic; a launcher may start it on any number of machines that see the
job's folder.
"""

import json
import logging
import os
import sys
from pathlib import Path


def main(folder: Path) -> int:
    """Run the job; a user's mistake is written down for the node, which tells it."""
    from pu_diffusion_pipeline.pipelines.training.job import MISTAKES, Job

    is_first = os.environ.get("RANK", "0") == "0"
    logging.basicConfig(level=logging.INFO if is_first else logging.ERROR, format="%(asctime)s %(message)s")
    try:
        Job.run(folder)
    except tuple(MISTAKES.values()) as error:
        if is_first:
            mistake = {"kind": type(error).__name__, "message": str(error)}
            (folder / "mistake.json").write_text(json.dumps(mistake))
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: torchrun -m {__spec__.name} JOB_FOLDER")
    sys.exit(main(Path(sys.argv[1])))
