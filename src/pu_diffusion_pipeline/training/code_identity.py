"""Which code a training ran through: what the modules do, not how they are commented."""

import ast
import hashlib
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
ROOMS = ("diffusion", "images", "positive_unlabeled", "training")
NOT_RUN = ("options.py",)  # values of options count as parameters, in a run's claim
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def code_digests(package: Path = PACKAGE) -> dict[str, str]:
    """The sha256 of every module that training runs through, by its path below the package.

    Comments, docstrings and layout do not count: the digest is of the syntax tree.
    """
    rooms = [path for room in ROOMS for path in sorted((package / room).glob("*.py"))]
    paths = [package / "seeding.py", *(path for path in rooms if path.name not in NOT_RUN)]
    return {
        path.relative_to(package).as_posix(): _digest(path.read_text(encoding="utf-8"))
        for path in paths
    }


@cache  # the code that runs is the code that was imported
def running_code() -> dict[str, str]:
    """The digests of this process's code, taken at the first call; not to be changed."""
    return code_digests()


def differing_modules(made: dict[str, str], now: dict[str, str]) -> list[str]:
    """The modules whose code differs, or which only one side has."""
    return sorted(name for name in {*made, *now} if made.get(name) != now.get(name))


@cache
def _digest(source: str) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return hashlib.sha256(repr(_plain(tree)).encode()).hexdigest()


def _plain(node: object) -> object:
    """The tree as tuples, the same in every version of Python: `ast.dump` is not."""
    if isinstance(node, list):
        return [_plain(one) for one in node]
    if not isinstance(node, ast.AST):
        return node
    fields = ((name, value) for name, value in ast.iter_fields(node) if value not in (None, []))
    return (type(node).__name__, *((name, _plain(value)) for name, value in fields))
