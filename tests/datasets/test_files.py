"""Single files: what is saved comes back, and a failed save leaves the old file."""

import inspect
import json

import pandas as pd
import plotly.graph_objects as go
import pytest
from kedro.io import DatasetError

from pu_diffusion_pipeline.datasets.files import (
    CSVDataset,
    FileDataset,
    JSONDataset,
    ParquetDataset,
    PlotlyDataset,
    RecordDataset,
    TextDataset,
)

TABLE = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
EXAMPLES = {
    CSVDataset: TABLE,
    ParquetDataset: TABLE,
    JSONDataset: {"a": [1, None]},
    RecordDataset: {"a": 1.5},
    TextDataset: "one\ntwo\n",
    PlotlyDataset: go.Figure(go.Scatter(x=[1, 2], y=[3, 4])),
}


class Unwritable:
    """Fails whatever a data set does with it."""

    def __getattr__(self, name):
        raise RuntimeError("cannot be written")


def test_every_kind_of_file_is_tested():
    kinds = {*FileDataset.__subclasses__(), *JSONDataset.__subclasses__()}
    assert kinds == set(EXAMPLES)


@pytest.mark.parametrize("kind", EXAMPLES)
def test_what_is_saved_comes_back(kind, tmp_path):
    dataset = kind(filepath=str(tmp_path / "folder/file"))
    assert not dataset.exists()
    dataset.save(EXAMPLES[kind])
    assert dataset.exists()
    loaded = dataset.load()
    if isinstance(loaded, pd.DataFrame):
        pd.testing.assert_frame_equal(loaded, TABLE)
    else:
        assert loaded == EXAMPLES[kind]
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["file"]


@pytest.mark.parametrize("kind", EXAMPLES)
def test_a_save_that_fails_leaves_the_old_file_and_no_litter(kind, tmp_path):
    dataset = kind(filepath=str(tmp_path / "file"))
    dataset.save(EXAMPLES[kind])
    before = (tmp_path / "file").read_bytes()
    with pytest.raises((DatasetError, RuntimeError, TypeError)):
        dataset.save(Unwritable())
    assert (tmp_path / "file").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("kind", "widget"),
    [
        (CSVDataset, "TablePreview"),
        (ParquetDataset, "TablePreview"),
        (JSONDataset, "JSONPreview"),
        (PlotlyDataset, "PlotlyPreview"),
    ],
)
def test_a_preview_names_the_widget_of_kedro_viz(kind, widget, tmp_path):
    import kedro_datasets._typing as known

    dataset = kind(filepath=str(tmp_path / "file"))
    dataset.save(EXAMPLES[kind])
    assert inspect.signature(kind.preview).return_annotation.__name__ == widget
    assert hasattr(known, widget)
    assert dataset.preview()


def test_a_record_is_shown_below_what_it_is_also_before_there_is_one(tmp_path):
    dataset = RecordDataset(filepath=str(tmp_path / "file"), metadata={"about": "The share."})
    assert json.loads(dataset.preview()) == {"about": "The share."}
    dataset.save({"value": 0.1})
    assert list(json.loads(dataset.preview()).items()) == [("about", "The share."), ("value", 0.1)]
