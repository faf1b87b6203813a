import pandas as pd

from pu_diffusion_pipeline.reports.text_table import TextTable


def table() -> TextTable:
    rows = pd.DataFrame({"method": ["plain", "pu"], "rate": ["0.9", "0.95 ± 0.01"]})
    return TextTable(rows, frozenset({(1, "rate")}), "The title", "The caption.")


def test_markdown_has_the_title_the_bold_cells_and_the_caption():
    assert table().to_markdown().split("\n") == [
        "The title",
        "",
        "| method | rate |",
        "| --- | --- |",
        "| plain | 0.9 |",
        "| pu | **0.95 ± 0.01** |",
        "",
        "The caption.",
    ]


def test_a_table_is_read_back_as_it_was_written():
    again = TextTable.from_json(table().to_json())
    pd.testing.assert_frame_equal(again.rows, table().rows)
    assert (again.bold, again.title, again.caption) == (
        table().bold,
        table().title,
        table().caption,
    )
