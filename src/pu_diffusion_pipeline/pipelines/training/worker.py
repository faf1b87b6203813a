"""One process of a training over several: `torchrun --nproc-per-node=N -m <this module> JOB_FOLDER`.

The node that trains starts it through torch elastic; a launcher may start it on any number of machines that see the
job's folder.
"""

import json
import logging
import os
import sys
import threading
import time
from pathlib import Path


def main(folder: Path) -> int:
    """Run the job; a user's mistake is written down for the node, which tells it."""
    from pu_diffusion_pipeline.atomic import replacing
    from pu_diffusion_pipeline.pipelines.training.job import MISTAKES, Job, is_first_process

    end_with_parent()
    level = logging.INFO if is_first_process() else logging.ERROR
    logging.basicConfig(level=level, format="%(asctime)s %(message)s")
    try:
        Job.run(folder)
    except tuple(MISTAKES.values()) as error:
        mistake = {"kind": type(error).__name__, "message": str(error)}
        with replacing(folder / "mistake.json") as temporary:
            temporary.write_text(json.dumps(mistake))
        return 1
    except RuntimeError as error:
        if not any(words in str(error) for words in ("Connection closed by peer", "Connection reset by peer")):
            raise
        return 1  # another process has ended; the agent says which
    return 0


def end_with_parent() -> None:
    """End when the process that started this one has: nobody else would stop it."""
    parent = os.getppid()

    def wait() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: torchrun -m {__spec__.name} JOB_FOLDER")
    sys.exit(main(Path(sys.argv[1])))
