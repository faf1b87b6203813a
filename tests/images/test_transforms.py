import numpy as np
import pytest
import torch

from pu_diffusion_pipeline.images.transforms import to_model_size, to_uint8, to_unit


def all_grey_values() -> torch.Tensor:
    return torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)


def test_every_grey_value_survives_the_round_trip():
    assert torch.equal(to_uint8(to_unit(all_grey_values())), all_grey_values())


def test_unit_range_is_minus_one_to_one_and_linear():
    grey = all_grey_values()
    unit = to_unit(grey)
    assert unit.dtype == torch.float32
    assert unit.min() == -1
    assert unit.max() == 1
    np.testing.assert_allclose(unit.flatten().double(), np.arange(256) / 127.5 - 1, atol=1e-7)
    assert torch.equal(grey, all_grey_values()), "the input must stay as it was"


def test_what_lies_outside_the_unit_range_is_clipped():
    assert to_uint8(torch.tensor([-7.0, -1.001, 1.001, 7.0])).tolist() == [0, 0, 255, 255]


def test_values_between_two_grey_levels_are_rounded_to_the_nearer_one():
    unit = torch.tensor([100.4, 100.6]) / 127.5 - 1
    assert to_uint8(unit).tolist() == [100, 101]


def test_clipping_does_not_change_its_input():
    unit = torch.tensor([-7.0, 0.3])
    to_uint8(unit)
    assert unit.tolist() == pytest.approx([-7.0, 0.3])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 3), (20, 31), (31, 20, 3)])
def test_size_and_channels_are_those_asked_for(shape, channels):
    resized = to_model_size(np.full(shape, 77, dtype=np.uint8), 16, channels)
    assert resized.shape == (channels, 16, 16)
    assert resized.dtype == np.uint8
    assert np.unique(resized).tolist() == [77]


def test_an_image_of_the_right_size_is_not_touched():
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    np.testing.assert_array_equal(to_model_size(image, 16, 3), image.transpose(2, 0, 1))


def test_a_grey_image_is_repeated_over_three_channels():
    image = np.random.default_rng(0).integers(0, 256, (16, 16), dtype=np.uint8)
    np.testing.assert_array_equal(to_model_size(image, 16, 3), np.stack([image] * 3))


def test_one_channel_of_a_colour_image_is_its_luminance():
    image = np.zeros((16, 16, 3), dtype=np.uint8)
    image[..., 0], image[..., 1], image[..., 2] = 200, 100, 50
    luminance = round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)
    assert np.unique(to_model_size(image, 16, 1)).tolist() == [luminance]


@pytest.mark.parametrize("transposed", [False, True])
def test_a_long_image_keeps_its_centre_square(transposed):
    image = np.zeros((16, 32), dtype=np.uint8)
    image[:, 8:24] = np.arange(16)[:, None] * 10 + np.arange(16)
    expected = image[:, 8:24]
    if transposed:
        image, expected = image.T, expected.T
    np.testing.assert_array_equal(to_model_size(np.ascontiguousarray(image), 16, 1)[0], expected)


def test_shrinking_averages_instead_of_picking_pixels():
    rows, columns = np.indices((32, 32))
    checkerboard = (255 * ((rows + columns) % 2)).astype(np.uint8)
    inside = to_model_size(checkerboard, 8, 1)[0, 1:-1, 1:-1]
    assert inside.min() > 115
    assert inside.max() < 140
