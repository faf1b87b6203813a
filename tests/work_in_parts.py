"""Work for `in_processes`, in a module that other processes can import."""

import os
import signal
import time
from collections.abc import Iterator

from pu_diffusion_pipeline.errors import InvalidInput

PARTS = [range(3), range(3, 5)]


def count(part: range) -> Iterator[tuple[int, int, int, bool]]:
    """Each number of a part, with the process, its threads and whether it ignores Ctrl-C."""
    import torch  # not above: a process that dies at once can do without

    blocked = signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, set())
    for number in part:
        yield number, os.getpid(), torch.get_num_threads(), blocked


def hang_or_be_killed(part: range) -> Iterator[int]:
    yield os.getpid()
    if part.start:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(600)


def hang_or_fail(part: range) -> Iterator[int]:
    yield os.getpid()
    if part.start:
        raise InvalidInput("part 1 cannot be done")
    time.sleep(600)


def numbers_forever(part: range) -> Iterator[int]:
    while True:
        yield os.getpid()


def die_at_once(*given: object) -> None:
    os._exit(3)
