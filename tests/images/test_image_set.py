import numpy as np
import pytest

from pu_diffusion_pipeline.digests import digest
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.images.image_set import ImageSet, read_images
from pu_diffusion_pipeline.images.sources import Source


def some_images(count: int = 5) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 3, 8, 8), dtype=np.uint8)


def test_a_saved_set_comes_back_with_its_manifest(tmp_path):
    manifest = {"settings": {"data.image_size": 8, "seed": 0, "beta": 0.1}}
    ImageSet(some_images(), manifest).save_pretrained(tmp_path / "set")
    loaded = ImageSet.from_pretrained(tmp_path / "set")
    np.testing.assert_array_equal(loaded.images, some_images())
    assert loaded.manifest == {**manifest, "sha256": digest(some_images())}
    assert len(loaded) == 5


def test_other_images_than_the_manifest_describes_are_refused(tmp_path):
    ImageSet(some_images()).save_pretrained(tmp_path / "set")
    ImageSet.from_pretrained(tmp_path / "set").refuse_others("It")
    np.save(tmp_path / "set/images.npy", 255 - some_images())
    with pytest.raises(InvalidInput, match="It: the images are not those"):
        ImageSet.from_pretrained(tmp_path / "set").refuse_others("It")


def test_some_of_the_images_keep_their_conditions():
    chosen = ImageSet(some_images(), {"a": 1}, np.arange(5)).select(np.array([3, 1]))
    np.testing.assert_array_equal(chosen.images, some_images()[[3, 1]])
    assert chosen.conditions.tolist() == [3, 1]
    assert chosen.manifest == {}


def test_a_loaded_set_stays_on_disk_and_cannot_be_changed(tmp_path):
    ImageSet(some_images()).save_pretrained(tmp_path / "set")
    images = ImageSet.from_pretrained(tmp_path / "set").images
    assert isinstance(images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        images[0] = 0


def test_saving_over_a_set_is_refused(tmp_path):
    ImageSet(some_images(5)).save_pretrained(tmp_path / "set")
    with pytest.raises(FileExistsError):
        ImageSet(some_images(2)).save_pretrained(tmp_path / "set")
    assert len(ImageSet.from_pretrained(tmp_path / "set")) == 5


def test_a_file_with_python_objects_is_not_unpickled(tmp_path):
    ImageSet(some_images()).save_pretrained(tmp_path / "set")
    np.save(tmp_path / "set" / "images.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"pickle|Python object"):
        ImageSet.from_pretrained(tmp_path / "set")


@pytest.mark.parametrize(
    "images",
    [np.zeros((2, 3, 8, 8), dtype=np.float32), np.zeros((3, 8, 8), dtype=np.uint8)],
    ids=["dtype", "rank"],
)
def test_anything_but_a_stack_of_uint8_images_is_refused(images):
    with pytest.raises(ValueError, match=r"must be \(N, C, H, W\) uint8"):
        ImageSet(images)


def test_only_the_images_asked_for_are_read_in_the_order_asked_for():
    seen = []

    def read(position: int) -> np.ndarray:
        seen.append(position)
        return np.full((8, 8), position, dtype=np.uint8)

    source = Source(
        np.zeros(100, dtype=np.int64), np.zeros(100, dtype=bool), read, lambda position: b""
    )
    images = read_images(source, np.array([70, 3, 41]), size=16, channels=3)
    assert seen == [70, 3, 41]
    assert images.shape == (3, 3, 16, 16)
    assert images.dtype == np.uint8
    assert [np.unique(image).tolist() for image in images] == [[70], [3], [41]]
