"""Starting the processes of a job on this machine.

They meet through a file in the job's folder and talk over the loopback interface: torch's own
rendezvous would listen on all network interfaces and unpickle what it is sent.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time

from pu_diffusion_pipeline.diffusion.compute import MEETING_VARIABLE
from pu_diffusion_pipeline.diffusion.processes import spell_end, threads_of_each
from pu_diffusion_pipeline.errors import ProcessFailed
from pu_diffusion_pipeline.training.checkpoints import CheckpointStore, last_good_checkpoint
from pu_diffusion_pipeline.training.job_folder import JobFolder
from pu_diffusion_pipeline.training.worker import PARENT_VARIABLE

WORKER = "pu_diffusion_pipeline.training.worker"
LOOPBACK = ("lo", "lo0")  # its name on Linux and on macOS
SOCKET_VARIABLES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
SECONDS_TO_END = 10  # for a process that is told to stop


def is_first_process() -> bool:
    """Whether this process writes, among those that a launcher has started."""
    return os.environ.get("RANK", "0") == "0"


def launch(job: JobFolder, num_processes: int) -> None:
    """Run a job in several processes; one that fails stops all.

    Raises:
        InvalidInput, TrainingDiverged: a user's mistake, from one of the processes.
        ProcessFailed: one of them has ended early.
    """
    meeting = job.folder / "meeting"
    meeting.unlink(missing_ok=True)
    command = [sys.executable, "-m", WORKER, str(job.folder)]
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for rank in range(num_processes):
            env = {**os.environ, **_environment(rank, num_processes, str(meeting.resolve()))}
            # In a session of its own it gets no Ctrl-C; we stop it.
            processes.append(subprocess.Popen(command, env=env, start_new_session=True))
        codes = _codes_at_the_end(processes)
    finally:
        _stop(processes)
    if any(codes):
        job.raise_mistake()
        raise _explained(job, codes)


def _environment(rank: int, num_processes: int, meeting: str) -> dict[str, str]:
    """What torch and accelerate read, with a file to meet at in the place of an address."""
    interfaces = {name for _, name in socket.if_nameindex()}
    loopback = next((name for name in LOOPBACK if name in interfaces), None)
    network = {} if loopback is None else dict.fromkeys(SOCKET_VARIABLES, loopback)
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(num_processes),
        "LOCAL_WORLD_SIZE": str(num_processes),
        "OMP_NUM_THREADS": str(threads_of_each(num_processes)),
        MEETING_VARIABLE: meeting,
        PARENT_VARIABLE: str(os.getpid()),
        **network,
    }


def _codes_at_the_end(processes: list[subprocess.Popen[bytes]]) -> list[int]:
    """The exit codes when all have ended well, or soon after one has not; 0 for those that run."""
    while True:
        codes = [process.poll() for process in processes]
        if any(codes):
            time.sleep(0.5)  # the cause may end a moment after its effect
            return [process.poll() or 0 for process in processes]
        if all(code == 0 for code in codes):
            return [0 for _ in processes]
        time.sleep(0.1)


def _stop(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:  # all at once: one that sees another go would complain
        process.terminate()
    for process in processes:
        try:
            process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _explained(job: JobFolder, codes: list[int]) -> ProcessFailed:
    # One that was killed is the cause; others fail because it is gone.
    rank = min((code, rank) for rank, code in enumerate(codes) if code)[1]
    return ended_early(job, rank, spell_end(codes[rank]))


def ended_early(job: JobFolder, rank: int, how: str) -> ProcessFailed:
    """What is told when a process has ended early.

    Args:
        job: whose process.
        rank: of the process.
        how: it ended, as a verb and what belongs to it.
    """
    last = last_good_checkpoint(CheckpointStore(job.folder.parent))
    return ProcessFailed(
        f"Process {rank} of this training {how}; the others were stopped "
        f"(last good checkpoint: {last}). Run the same command to go on from there."
    )
