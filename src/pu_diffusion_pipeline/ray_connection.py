"""A connection to Ray: to the cluster of RAY_ADDRESS, or to a Ray of this machine alone.

Ray is imported here and by what works on its nodes, and only where it is asked for.
"""

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import NamedTuple
from urllib.parse import urlsplit

from pu_diffusion_pipeline.errors import InvalidInput

ADDRESS = "RAY_ADDRESS"  # an environment variable of Ray's own
SECONDS_TO_CONNECT = 5


class Needs(NamedTuple):
    """What Ray sets aside for a task or a process."""

    num_cpus: int
    num_gpus: float
    memory: int

    def fit_in(self, resources: Mapping[str, float]) -> int:
        """How many a node has room for."""
        there = (resources.get(name, 0) for name in ("CPU", "GPU", "memory"))
        return min(
            int(have / need + 1e-9) for have, need in zip(there, self, strict=True) if need > 0
        )

    def fit_in_cluster(self) -> int:
        """How many the nodes that are connected have room for, if nothing else runs there."""
        import ray

        return sum(self.fit_in(node["Resources"]) for node in ray.nodes() if node["Alive"])


def require_ray(asked_by: str) -> None:
    """Refuse to begin without Ray.

    Args:
        asked_by: the option or the parameter that asks for it, for the message.

    Raises:
        InvalidInput: it is not installed.
    """
    if find_spec("ray") is None:
        raise InvalidInput(f"{asked_by} needs Ray: pip install 'pu_diffusion_pipeline[ray]'")


@contextmanager
def connected(asked_by: str) -> Iterator[None]:
    """A connection as by `connect`; closed afterwards, unless the caller had one before."""
    require_ray(asked_by)
    import ray

    if ray.is_initialized():
        yield
        return
    connect(asked_by)
    try:
        yield
    finally:
        ray.shutdown()


def connect(asked_by: str) -> None:
    """Connect, quietly; `ray.shutdown()` ends it, and a Ray of this machine with it.

    Args:
        asked_by: as for `require_ray`.

    Raises:
        InvalidInput: Ray is not installed, nothing answers at the address, or it lets nobody in.
    """
    require_ray(asked_by)
    import ray

    address = os.environ.get(ADDRESS, "local")
    _refuse_unreachable(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    here = {"include_dashboard": False} if address == "local" else {}
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **here)
    except Exception as error:  # of many kinds, some of no kind
        what = "Ray did not start here" if address == "local" else f"no way into {address}"
        first = str(error).partition("\n")[0]
        raise InvalidInput(
            f"{ADDRESS}: {what}: {first}. A cluster that asks for a token needs "
            "RAY_AUTH_MODE=token here too"
        ) from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, on_sigterm)  # Ray sets its own


def _refuse_unreachable(address: str) -> None:
    """Ray itself tries for more than a minute."""
    if address in ("local", "auto"):
        return
    place = urlsplit(address if "://" in address else f"//{address}")
    try:
        host, port = place.hostname, place.port
        socket.create_connection((host or "", port or 0), SECONDS_TO_CONNECT).close()
    except (OSError, ValueError) as error:
        raise InvalidInput(
            f"{ADDRESS}: expected the HOST:PORT of a running cluster, or local; nothing answers "
            f"at {address!r} ({error})"
        ) from error
