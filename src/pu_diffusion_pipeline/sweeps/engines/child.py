"""`kedro` in a process that ends when the one that started it does.

A worker of Ray may be killed at any time. What it had started would go on, and hold the locks of
its folders, while the task is repeated elsewhere.
"""

import runpy

from pu_diffusion_pipeline.training.worker import end_with_parent

if __name__ == "__main__":
    end_with_parent()
    runpy.run_module("kedro", run_name="__main__")
