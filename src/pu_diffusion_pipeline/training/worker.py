"""One process of a training over several: `torchrun --nproc-per-node=N -m <module> JOB_FOLDER`.

`job.run_job` starts it on this machine or on a Ray cluster; another launcher may start it on any
number of machines that see the job's folder.
"""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

PARENT_VARIABLE = "PU_DIFFUSION_PARENT"
# What torch says in a process when another one has ended.
GONE = ("Connection closed by peer", "Connection reset by peer")


def main(folder: Path, log: Path | None = None) -> int:
    """Run the job; a user's mistake is written down for the process that started it.

    Args:
        folder: of the job.
        log: where the first process writes its lines; None: to the terminal.

    Returns:
        The exit code.
    """
    end_with_parent()
    from pu_diffusion_pipeline.training.job import run_saved_job
    from pu_diffusion_pipeline.training.job_folder import MISTAKES, JobFolder
    from pu_diffusion_pipeline.training.launch import is_first_process

    level = logging.INFO if is_first_process() else logging.ERROR
    if is_first_process() and log is not None:
        # force: the launcher has set up a log of its own
        logging.basicConfig(level=level, format="%(message)s", filename=log, force=True)
    else:
        logging.basicConfig(level=level, format="%(asctime)s %(message)s")
    try:
        run_saved_job(folder)
    except tuple(MISTAKES.values()) as error:
        JobFolder(folder).save_mistake(error)
        return 1
    except RuntimeError as error:
        if not any(words in str(error) for words in GONE):
            raise
        return 1  # another process has ended; the agent says which
    return 0


def end_with_parent(end: Callable[[], object] = lambda: os._exit(1)) -> None:
    """End when the process that started this one has: nobody else would stop it.

    Its number is in PARENT_VARIABLE, where the starter has set it: it may be gone already.

    Args:
        end: what ends it.
    """
    parent = int(os.environ.pop(PARENT_VARIABLE, os.getppid()))

    def wait() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        end()

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: torchrun -m {__spec__.name} JOB_FOLDER")
    sys.exit(main(Path(sys.argv[1])))
