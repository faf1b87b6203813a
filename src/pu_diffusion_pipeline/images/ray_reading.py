"""Reading the files of a user's folder on the nodes of a Ray cluster.

The nodes read and decode; this process alone writes the store, in the order of the files. So the
store is the same as one made by threads (docs/decisions/0013).
"""

import socket
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from pu_diffusion_pipeline.errors import InvalidInput, ProcessFailed
from pu_diffusion_pipeline.images.decoding import RULE
from pu_diffusion_pipeline.images.folder_listing import Entry
from pu_diffusion_pipeline.images.folder_reading import (
    Outcome,
    Read,
    ignore_warnings_of_pillow,
    read_ahead,
)
from pu_diffusion_pipeline.ray_connection import connected

FIELD = "data.folder.engine ray"
FILES_PER_TASK = 32


class Witness(NamedTuple):
    """What every node must see and have alike.

    Attributes:
        folder: one of the user's, as an absolute path.
        inode: of that folder.
        decoder: the version of Pillow and of the rule in `decoding`.
    """

    folder: str
    inode: int
    decoder: str


def read_with_ray(entries: list[Entry], read: Read) -> Generator[Outcome, None, None]:
    """Read files on the nodes of the cluster at `RAY_ADDRESS`; without one, of a local Ray.

    Ray repeats what a lost worker or node was doing. Two tasks for each processor are under way at
    a time, so memory does not grow with the number of files.

    Raises:
        InvalidInput: there is no cluster at the address, or a node does not see the folder or has
            another Pillow.
        ProcessFailed: Ray gave up.
    """
    import ray

    entries = [entry._replace(location=str(Path(entry.location).absolute())) for entry in entries]
    witness = _witness(entries[0])
    with connected(FIELD), _failures_in_short():
        _check_nodes(witness)
        task, shared = ray.remote(_read_some), ray.put(read)
        starts = range(0, len(entries), FILES_PER_TASK)
        shares = (entries[start : start + FILES_PER_TASK] for start in starts)
        jobs = (task.remote(shared, share, witness) for share in shares)
        for job in read_ahead(jobs, 2 * int(ray.cluster_resources().get("CPU", 1))):
            yield from ray.get(job)


def _read_some(read: Read, entries: list[Entry], witness: Witness) -> list[Outcome]:
    """What a worker does; its node may have joined after the others were checked."""
    _check_this_node(witness)
    with warnings.catch_warnings():
        ignore_warnings_of_pillow()
        return [read(entry) for entry in entries]


def _witness(entry: Entry) -> Witness:
    folder = Path(entry.location).parent
    return Witness(str(folder), folder.stat().st_ino, _decoder())


def _decoder() -> str:
    import PIL

    return f"Pillow {PIL.__version__}, rule {RULE}"


def _check_nodes(witness: Witness) -> None:
    """Ask all nodes that work at once."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    task = ray.remote(num_cpus=0)(_check_this_node)
    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    there = [NodeAffinitySchedulingStrategy(node["NodeID"], soft=False) for node in nodes]
    ray.get([task.options(scheduling_strategy=one).remote(witness) for one in there])


def _check_this_node(witness: Witness) -> None:
    name = socket.gethostname()
    try:
        inode = Path(witness.folder).stat().st_ino
    except OSError as error:
        raise InvalidInput(
            f"{FIELD}: the node {name} cannot see {witness.folder} ({error.strerror}). Every node "
            "needs data.root under the same path, on a shared file system."
        ) from error
    if inode != witness.inode:
        raise InvalidInput(
            f"{FIELD}: on the node {name}, {witness.folder} is another folder than here. Every "
            "node needs data.root under the same path, on a shared file system."
        )
    if _decoder() != witness.decoder:
        raise InvalidInput(
            f"{FIELD}: the node {name} has {_decoder()}, here it is {witness.decoder}. Install the "
            "same versions on all nodes."
        )


@contextmanager
def _failures_in_short() -> Iterator[None]:
    from ray.exceptions import RayError, RayTaskError

    try:
        yield
    except RayError as error:
        cause = error.cause if isinstance(error, RayTaskError) else error
        if isinstance(cause, InvalidInput):
            raise cause from None
        lines = str(cause).strip().splitlines() or [type(cause).__name__]
        raise ProcessFailed(
            f"Ray could not read the images: {lines[0]}\nThe store is as it was before. The same "
            "command begins again; data.folder.engine: threads does without Ray."
        ) from error
