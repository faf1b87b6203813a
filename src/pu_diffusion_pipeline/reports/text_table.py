"""A table for readers: text cells, some of them bold, with a title and a caption."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class TextTable:
    """A table for readers.

    Attributes:
        rows: the cells, all text.
        bold: (row number, column) of the bold cells.
        title: above the table.
        caption: below the table.
    """

    rows: pd.DataFrame
    bold: frozenset[tuple[int, str]] = frozenset()
    title: str = ""
    caption: str = ""

    def cells(self) -> list[list[tuple[str, bool]]]:
        """For each row its cells: text, and whether it is bold."""
        return [
            [(text, (number, column) in self.bold) for column, text in row.items()]
            for number, row in enumerate(self.rows.to_dict("records"))
        ]

    def with_asterisks(self) -> pd.DataFrame:
        """The rows with bold cells as `**text**`."""
        marked = [
            [f"**{text}**" if bold else text for text, bold in cells] for cells in self.cells()
        ]
        return pd.DataFrame(marked, columns=self.rows.columns)

    def to_markdown(self) -> str:
        """The title, the table and the caption; an empty line between them."""
        parts = (self.title, markdown_table(self.with_asterisks()), self.caption)
        return "\n\n".join(part for part in parts if part)

    def to_json(self) -> str:
        """For `from_json`."""
        return json.dumps(
            {
                "title": self.title,
                "columns": list(self.rows.columns),
                "rows": self.rows.to_numpy().tolist(),
                "bold": sorted(self.bold),
                "caption": self.caption,
            },
            indent=1,
            ensure_ascii=False,
        )

    @classmethod
    def from_json(cls, text: str) -> "TextTable":
        """Read what `to_json` gave."""
        content = json.loads(text)
        return cls(
            rows=pd.DataFrame(content["rows"], columns=content["columns"]),
            bold=frozenset((number, column) for number, column in content["bold"]),
            title=content["title"],
            caption=content["caption"],
        )


def markdown_table(text: pd.DataFrame) -> str:
    """A frame of text as a Markdown table."""
    rows = [text.columns, ["---"] * len(text.columns), *text.itertuples(index=False)]
    return "\n".join(_markdown_row(row) for row in rows)


def _markdown_row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def show_table(text: pd.DataFrame, title: str, dispensable: Sequence[str] = ()) -> None:
    """Print a frame of text to the terminal.

    Args:
        text: its first column has the names of the rows.
        title: above the table.
        dispensable: columns that are left out where the terminal is too narrow, the first ones
            first. A line below names them.
    """
    import rich
    from rich.console import Console
    from rich.table import Table

    console = rich.get_console()
    if not console.is_terminal:  # in a file or a pipe there is room
        console = Console(file=console.file, width=max(console.width, 140))
    text = text.rename(columns=lambda column: column.replace(" (", "\n("))
    fitting = _that_fit(text, console.width, dispensable)
    left_out = [column for column in text.columns if column not in fitting.columns]
    caption = f"not shown (terminal too narrow): {', '.join(left_out)}" if left_out else None
    shown = Table(title=title, caption=caption)
    for number, column in enumerate(fitting.columns):
        shown.add_column(column, justify="right" if number else "left", no_wrap=True)
    for row in fitting.itertuples(index=False):
        shown.add_row(*row)
    console.print(shown, soft_wrap=True)


def _that_fit(text: pd.DataFrame, width: int, dispensable: Iterable[str]) -> pd.DataFrame:
    """The columns that fit into a width, with frames and spaces."""
    for column in (None, *dispensable):
        text = text.drop(columns=[column], errors="ignore")
        cells = [[*str(name).split("\n"), *text[name]] for name in text.columns]
        if sum(max(map(len, lines)) + 3 for lines in cells) < width:
            break
    return text
