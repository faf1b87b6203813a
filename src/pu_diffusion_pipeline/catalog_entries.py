"""The entries of the catalog: the placeholders of their paths are replaced.

`<benchmark>`, `<method>` and `<run:STAGE>` (docs/decisions/0007).
"""

import re
from collections.abc import Mapping
from typing import Any

from pu_diffusion_pipeline.diffusion.methods import METHODS
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.experiment.identity import STAGES, run_folder
from pu_diffusion_pipeline.experiment.parameters import Parameters

Entry = dict[str, Any]
Entries = dict[str, Entry]
RUN_PLACEHOLDER = re.compile(r"<run:(\w+)(?:,(\w+))?>")
OWN = ("about", "claim")  # keys of an entry that its data set finds in its metadata
OF_TRAINED = ("model", "relearned", "relearning")  # stages of methods that train


def expand_catalog(
    catalog: Mapping[str, Entry], final: Parameters, configured: Parameters
) -> Entries:
    """Replace the placeholders of a catalog.

    An entry named `<method>.<artifact>` becomes one entry for each method. The stage, the method
    and the folder that a path's `<run:...>` stands for go into the entry's metadata as `claim`,
    for `experiment/claims.py`. Its sentence `about`, which kedro-viz shows, goes there too.

    Args:
        catalog: name to entry, as loaded.
        final: the parameters with the run-time overrides.
        configured: the parameters as the configuration files give them.

    Raises:
        InvalidInput: an entry has no filepath, its metadata or `about` is of another type, or a
            placeholder is unknown.
    """
    expanded = {}
    for name, entry in catalog.items():
        _check_entry(name, entry)
        for method in _methods_of(name, entry["filepath"]):
            filled = {**entry, **_place(entry, method, final, configured)}
            expanded[name.replace("<method>", method or "")] = _with_metadata(filled, method)
    return expanded


def _with_metadata(entry: Entry, method: str | None) -> Entry:
    """What Kedro itself does not know of an entry becomes metadata."""
    rest = {key: value for key, value in entry.items() if key not in OWN}
    own = {key: entry[key] for key in OWN if key in entry}
    if "about" in own:
        own["about"] = own["about"].replace("<method>", method or "")
    return {**rest, "metadata": {**entry.get("metadata", {}), **own}} if own else rest


def _check_entry(name: str, entry: object) -> None:
    if not isinstance(entry, Mapping):
        raise InvalidInput(f"catalog: {name} needs a type and a filepath, got {entry!r}")
    if not isinstance(entry.get("filepath"), str):
        raise InvalidInput(
            f"catalog: {name}.filepath must be a text, got {entry.get('filepath')!r}"
        )
    if not isinstance(entry.get("metadata", {}), Mapping):
        raise InvalidInput(f"catalog: {name}.metadata must be a mapping, got {entry['metadata']!r}")
    if not isinstance(entry.get("about", ""), str):
        raise InvalidInput(f"catalog: {name}.about must be a sentence, got {entry['about']!r}")
    if found := RUN_PLACEHOLDER.search(entry["filepath"]):
        for given, known in ((found[1], STAGES), (found[2], METHODS)):
            if given is not None and given not in known:
                raise InvalidInput(
                    f"catalog: {name}.filepath: {found[0]} names {given!r}, "
                    f"expected one of {', '.join(known)}"
                )


def _methods_of(name: str, filepath: str) -> list[str | None]:
    if "<method>" not in name:
        return [None]
    untrained = all(f"<run:{stage}>" not in filepath for stage in OF_TRAINED)
    return [method for method, facts in METHODS.items() if facts.trains or untrained]


def _place(entry: Entry, method: str | None, final: Parameters, configured: Parameters) -> Entry:
    """The path without placeholders, and its claim if it is in a run's folder."""
    path = entry["filepath"].replace("<benchmark>", final.benchmark)
    path = path.replace("<method>", method or "")
    found = RUN_PLACEHOLDER.search(path)
    if found is None:
        return {"filepath": path}
    stage = found[1]
    method = found[2] or method
    folder = path[: found.start()] + run_folder(final, configured, stage, method)
    claim = {"stage": stage, "method": method, "path": folder}
    return {"filepath": folder + path[found.end() :], "claim": claim}
