import base64
import io

import pytest
from kedro.io import DatasetError
from matplotlib.figure import Figure
from PIL import Image

from pu_diffusion_pipeline.datasets.figures import FigureDataset, ImagePreview


def figure(value: float = 1.0) -> Figure:
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([0, value])
    return figure


def test_a_figure_is_saved_once_in_each_format(tmp_path):
    data_set = FigureDataset(filepath=str(tmp_path / "curves.png"), dpi=50)
    assert not data_set.exists()
    data_set.save(figure())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves.png", "curves.svg"]
    assert Image.open(tmp_path / "curves.png").size == (100, 50)
    assert "<svg" in (tmp_path / "curves.svg").read_text()
    assert data_set.exists()
    (tmp_path / "curves.svg").unlink()
    assert not data_set.exists()


def test_a_save_that_fails_leaves_the_old_file(tmp_path):
    data_set = FigureDataset(filepath=str(tmp_path / "curves.png"), formats=["png"])
    data_set.save(figure())
    before = (tmp_path / "curves.png").read_bytes()
    broken = figure()
    broken.axes[0].set_title("$\\nothing$")
    with pytest.raises(DatasetError):
        data_set.save(broken)
    assert [path.name for path in tmp_path.iterdir()] == ["curves.png"]
    assert (tmp_path / "curves.png").read_bytes() == before


def test_its_pictures_are_loaded(tmp_path):
    data_set = FigureDataset(filepath=str(tmp_path / "curves.png"))
    data_set.save(figure())
    loaded = data_set.load()
    assert loaded["png"] == (tmp_path / "curves.png").read_bytes()
    assert loaded["svg"] == (tmp_path / "curves.svg").read_bytes()


def test_the_preview_is_the_picture(tmp_path):
    import inspect

    data_set = FigureDataset(filepath=str(tmp_path / "curves.png"))
    data_set.save(figure())
    assert base64.b64decode(data_set.preview()) == (tmp_path / "curves.png").read_bytes()
    assert Image.open(io.BytesIO(base64.b64decode(data_set.preview()))).format == "PNG"
    # kedro-viz goes by the name of the return type.
    assert inspect.signature(data_set.preview).return_annotation is ImagePreview
    assert ImagePreview.__name__ == "ImagePreview"
