"""`kedro` in a process that ends when the one that started it does, with all that it has started.

A sweep or a worker of Ray may be killed at any time. What it had started would go on, and hold the
locks of its folders, while the task is repeated.
"""

import os
import runpy
import signal

from pu_diffusion_pipeline.training.worker import end_with_parent

COMMAND = ("-m", "pu_diffusion_pipeline.sweeps.engines.child")  # of Python, before the arguments


def main() -> None:
    """Run `kedro` with the arguments of this process, the leader of a group of processes."""
    end_with_parent(lambda: os.killpg(os.getpid(), signal.SIGKILL))
    runpy.run_module("kedro", run_name="__main__")


if __name__ == "__main__":
    main()
