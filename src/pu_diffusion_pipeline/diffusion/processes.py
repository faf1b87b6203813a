"""Work in parts, each in a process of its own on this machine.

Every process has a pipe to this one. Nothing is written to disk, and no port is opened.
"""

import io
import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import torch
from safetensors.torch import load, save

from pu_diffusion_pipeline.errors import InvalidInput, ProcessFailed

if TYPE_CHECKING:
    from diffusers import UNet2DModel

Part = TypeVar("Part")
Item = TypeVar("Item")


class _Failure(NamedTuple):
    """An exception of a process, and its traceback as text."""

    error: Exception
    trace: str


def threads_of_each(num_processes: int) -> int:
    """Threads that each of several processes computes with."""
    return max(1, torch.get_num_threads() // num_processes)


def check_devices(device: str, num_processes: int, field: str) -> None:
    """Refuse more processes than this machine has devices for.

    Args:
        device: cuda, mps or cpu.
        num_processes: more than one.
        field: the parameter's name, for the message.

    Raises:
        InvalidInput: on mps, or with more processes than GPUs.
    """
    if device == "mps":
        raise InvalidInput(f"{field} above 1 needs compute.device cuda or cpu, got mps")
    if device == "cuda" and num_processes > (there := torch.cuda.device_count()):
        raise InvalidInput(
            f"{field} must be at most {there}, the GPUs of this machine, got {num_processes}"
        )


def spell_end(code: int) -> str:
    """How a process ended that did not end well."""
    return f"was killed (signal {-code})" if code < 0 else f"ended with code {code}"


def in_processes(
    work: Callable[[Part], Iterable[Item]], parts: Sequence[Part], device: str
) -> Generator[Item, None, None]:
    """What `work` gives for each part, in the order in which it comes.

    One that fails stops all, and so does closing the iterator. With CUDA, process i computes on GPU
    i. The processes are spawned: a script that calls this needs `if __name__ == "__main__"`.

    Args:
        work: a function that can be pickled; it may hold denoisers.
        parts: one for each process.
        device: cuda or cpu.

    Raises:
        ProcessFailed: a process has ended early.
        Exception: what `work` has raised.
    """
    pickled = _pickled(work)
    processes: dict[Connection, SpawnProcess] = {}
    try:
        for rank in range(len(parts)):
            connection, process = _started(rank, threads_of_each(len(parts)), device)
            processes[connection] = process
        for (connection, process), part in zip(processes.items(), parts, strict=True):
            try:
                connection.send_bytes(pickled)
                connection.send(part)
            except OSError:
                _check_end(process, len(parts))
        yield from _received(processes)
    finally:
        for process in processes.values():
            process.kill()
            process.join()


def _started(rank: int, num_threads: int, device: str) -> tuple[Connection, SpawnProcess]:
    """A process that waits at the connection for its work.

    The work is no argument of it: `start` would never return if the process died before it had read
    more than a pipe holds.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    arguments = (theirs, rank, num_threads, device)
    process = context.Process(target=_run, args=arguments, name=str(rank), daemon=True)
    with _interrupts_held_back():
        process.start()
    theirs.close()  # so that the connection ends when the process does
    return ours, process


def _received(processes: dict[Connection, SpawnProcess]) -> Iterator[Item]:
    running = set(processes)
    while running:
        for connection in wait(list(running)):
            assert isinstance(connection, Connection)
            try:
                item = connection.recv()
            except (EOFError, OSError):  # OSError: in the middle of an item
                running.remove(connection)
                _check_end(processes[connection], len(processes))
                continue
            if isinstance(item, _Failure):
                raise item.error from RuntimeError(item.trace)
            yield item


def _check_end(process: SpawnProcess, count: int) -> None:
    process.join()
    if process.exitcode:
        raise ProcessFailed(
            f"Process {process.name} of {count} {spell_end(process.exitcode)}; the others were "
            "stopped. If memory ran out, use fewer processes or smaller batches. Run the same "
            "command again."
        )


def _pickled(work: object) -> bytes:
    file = io.BytesIO()
    _Pickler(file).dump(work)
    return file.getvalue()


class _Pickler(pickle.Pickler):
    """Takes a denoiser as its configuration and weights: it may be on a GPU or changed inside."""

    def reducer_override(self, value: object) -> tuple[Callable[..., object], tuple[object, ...]]:
        from diffusers import UNet2DModel

        if not isinstance(value, UNet2DModel):
            return NotImplemented
        state = value.state_dict()
        weights = {name: weight.cpu().contiguous() for name, weight in state.items()}
        return _built, (dict(value.config), save(weights))


def _built(config: dict[str, object], weights: bytes) -> "UNet2DModel":
    from diffusers import UNet2DModel

    denoiser = UNet2DModel.from_config(config)
    denoiser.load_state_dict(load(weights))
    return denoiser


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """A process that is started in the block never sees Ctrl-C; we stop it."""
    resource_tracker.ensure_running()  # multiprocessing's own process; its start lets them through
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _run(connection: Connection, rank: int, num_threads: int, device: str) -> None:
    """The main function of a process."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(num_threads)
    if device == "cuda":
        torch.cuda.set_device(rank)
    try:
        work = pickle.loads(connection.recv_bytes())  # noqa: S301 (our own pickle)
        for item in work(connection.recv()):
            connection.send(item)
    except Exception as error:
        connection.send(_Failure(error, traceback.format_exc()))


def _end_with_parent() -> None:
    """End when the process that started this one has: nobody else would stop it."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
