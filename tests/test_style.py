"""Limits of the size of functions and files, of the use of `Any`, and of the width of lines."""

import ast
import io
import statistics
import subprocess
import tokenize
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from conftest import REPO

SOURCES = REPO / "src"
EXAMPLES = REPO / "examples"
MAX_COLUMNS = 100
MAX_FILE_LINES = 300
MAX_MEDIAN_FUNCTION_LINES = 8
MAX_P90_FUNCTION_LINES = 25
MAX_FUNCTION_LINES = 50
MAX_PARAMETERS = 8
MAX_ANY = 79
NARROW = {".jinja", ".md", ".py", ".toml", ".yaml", ".yml"}


class Function(NamedTuple):
    """A function or method, nested ones included.

    Attributes:
        place: file and line of its `def`, and its name.
        lines: from `def` to its last line; decorators are not counted.
        parameters: without `self` and `cls`; `*args` and `**kwargs` count as one each.
    """

    place: str
    lines: int
    parameters: int


def functions(root: Path) -> list[Function]:
    """All functions of the Python files below a folder."""
    found = []
    for path in sorted(root.rglob("*.py")):
        tree = ast.parse(path.read_text())
        methods = {
            id(child)
            for node in ast.walk(tree)
            if isinstance(node, ast.ClassDef)
            for child in node.body
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                place = f"{path.relative_to(root)}:{node.lineno} {node.name}"
                lines = node.end_lineno - node.lineno + 1
                found.append(Function(place, lines, count_parameters(node, id(node) in methods)))
    return found


def count_parameters(function: ast.FunctionDef | ast.AsyncFunctionDef, is_method: bool) -> int:
    """Parameters of a function; the first one of a method is not counted, unless it is static."""
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    collected = [extra for extra in (arguments.vararg, arguments.kwarg) if extra]
    decorators = [node.id for node in function.decorator_list if isinstance(node, ast.Name)]
    has_self = is_method and "staticmethod" not in decorators
    return len(named) + len(collected) - has_self


def long_files(root: Path, limit: int) -> list[str]:
    """Python files below a folder that have more lines than `limit`."""
    lengths = {path: len(path.read_text().splitlines()) for path in sorted(root.rglob("*.py"))}
    return [
        f"{path.relative_to(root)}: {lines} lines"
        for path, lines in lengths.items()
        if lines > limit
    ]


def count_any(root: Path) -> dict[str, int]:
    """How often each Python file below a folder uses the name `Any`; imports do not count."""
    counts = {}
    for path in sorted(root.rglob("*.py")):
        text = path.read_text()
        imports = {
            line
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for line in range(node.lineno, node.end_lineno + 1)
        }
        counts[str(path.relative_to(root))] = sum(
            token.type == tokenize.NAME and token.string == "Any" and token.start[0] not in imports
            for token in tokenize.generate_tokens(io.StringIO(text).readline)
        )
    return {name: count for name, count in counts.items() if count}


def wide_lines(root: Path, paths: list[Path], limit: int) -> list[str]:
    """Lines wider than `limit` in the files of the types in `NARROW`.

    Markdown has two exceptions, because it cannot break them: rows of a table, and a line that is
    one word, such as an address, perhaps as an item of a list.
    """
    found = []
    for path in paths:
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            unbreakable = path.suffix == ".md" and is_unbreakable(line)
            if len(line) > limit and not unbreakable:
                found.append(f"{path.relative_to(root)}:{number}: {len(line)} columns")
    return found


def is_unbreakable(line: str) -> bool:
    """Whether a line of Markdown is a row of a table or a single word."""
    text = line.strip()
    return text.startswith("|") or len(text.removeprefix("- ").split()) == 1


def tracked_files() -> list[Path]:
    """The files under version control whose width is limited."""
    output = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPO, capture_output=True, text=True, check=False
    )
    if output.returncode != 0:
        pytest.skip("the width of lines is checked in a git checkout only")
    paths = [REPO / name for name in output.stdout.split("\0") if name]
    return [path for path in paths if path.suffix in NARROW and path.is_file()]


def listed(items: Iterable[str]) -> str:
    """One item a line, for the message of a failed test."""
    return "\n".join(["", *items])


def test_functions_are_short():
    lengths = [function.lines for function in functions(SOURCES)]
    assert statistics.median(lengths) <= MAX_MEDIAN_FUNCTION_LINES
    assert np.quantile(lengths, 0.9) <= MAX_P90_FUNCTION_LINES


def test_no_function_is_long():
    everything = [*functions(SOURCES), *functions(EXAMPLES)]
    long = [item for item in everything if item.lines > MAX_FUNCTION_LINES]
    assert not long, listed(f"{item.place}: {item.lines} lines" for item in long)


def test_no_function_has_many_parameters():
    many = [item for item in functions(SOURCES) if item.parameters > MAX_PARAMETERS]
    assert not many, listed(f"{item.place}: {item.parameters} parameters" for item in many)


def test_no_file_is_long():
    found = [*long_files(SOURCES, MAX_FILE_LINES), *long_files(EXAMPLES, MAX_FILE_LINES)]
    assert not found, listed(found)


def test_any_is_rare():
    counts = count_any(SOURCES)
    total = sum(counts.values())
    assert total <= MAX_ANY, listed(f"{name}: {count}" for name, count in counts.items())


def test_no_line_is_wide():
    found = wide_lines(REPO, tracked_files(), MAX_COLUMNS)
    assert not found, listed(found)


# The measures themselves, on small trees with one fault each.


@pytest.fixture
def write(tmp_path):
    """A function that writes a file of a small tree and returns the tree's folder."""

    def write_file(name: str, text: str) -> Path:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
        return tmp_path

    return write_file


def test_length_is_counted_from_def_to_the_last_line(write):
    root = write(
        "room/a.py", "@decorated\ndef outer(\n    x,\n):\n    def inner(): ...\n    return x\n"
    )
    assert [(item.place, item.lines) for item in functions(root)] == [
        ("room/a.py:2 outer", 5),
        ("room/a.py:5 inner", 1),
    ]


@pytest.mark.parametrize(
    ("code", "count"),
    [
        ("def f(a, /, b, *rest, c=1, **more): ...", 5),
        ("async def f(a, b): ...", 2),
        ("class C:\n    def f(self, a): ...", 1),
        ("class C:\n    @classmethod\n    def f(cls, a, *, b): ...", 2),
        ("class C:\n    @staticmethod\n    def f(a, b): ...", 2),
    ],
)
def test_parameters_are_counted_without_self(write, code, count):
    assert functions(write("a.py", code))[0].parameters == count


def test_a_file_over_the_limit_is_named(write):
    write("short.py", "x = 1\n" * 3)
    assert long_files(write("room/long.py", "x = 1\n" * 4), 3) == ["room/long.py: 4 lines"]


def test_any_is_counted_in_code_but_not_in_imports_comments_or_names(write):
    write("none.py", 'from typing import (\n    Any,\n)\n"""Any."""  # Any\nAnything = 1\n')
    root = write("two.py", "from typing import Any\ndef f(x: Any) -> dict[str, Any]: ...\n")
    assert count_any(root) == {"two.py": 2}


@pytest.mark.parametrize(
    ("name", "line", "is_wide"),
    [
        ("a.py", "# " + "x" * 9, True),
        ("a.py", "# " + "x" * 8, False),
        ("a.md", "word " * 3, True),
        ("a.md", "| a | table | row |", False),
        ("a.md", "- https://example.org/a", False),
        ("a.md", "see https://example.org/a", True),
        ("a.yml", "| not | a | table |", True),
    ],
)
def test_a_line_over_the_limit_is_named_unless_markdown_cannot_break_it(write, name, line, is_wide):
    root = write(name, f"first\n{line}\n")
    expected = [f"{name}:2: {len(line)} columns"] if is_wide else []
    assert wide_lines(root, [root / name], 10) == expected
