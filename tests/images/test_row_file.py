"""Files of rows: numpy reads them, and their header never changes its length."""

import numpy as np
import pytest

from pu_diffusion_pipeline.images.row_file import RowWriter, header, map_rows

SHAPE = (3, 4, 4)


def some_rows(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *SHAPE), dtype=np.uint8)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 256, 256), (3, 1024, 1024)])
def test_the_header_is_equally_long_for_every_number_of_rows(shape):
    assert {len(header(count, shape)) for count in (0, 1, 12_345, 2**31, 10**15)} == {
        len(header(7, shape))
    }


@pytest.mark.parametrize("count", [0, 1, 5])
def test_numpy_reads_what_is_written(tmp_path, count):
    writer = RowWriter(tmp_path / "new.npy", None, 0, SHAPE)
    for row in some_rows(count):
        writer.add(row)
    assert writer.finish() == tmp_path / "new.npy"
    writer.close()
    np.testing.assert_array_equal(np.load(tmp_path / "new.npy"), some_rows(count))
    np.testing.assert_array_equal(map_rows(tmp_path / "new.npy"), some_rows(count))


@pytest.mark.parametrize("kept", [[0, 1, 2, 3], [0, 1, 2], [1, 0, 2, 3], [0, 1, 1, 3], [3], []])
def test_kept_rows_come_from_the_old_file_which_is_used_if_all_are_kept(tmp_path, kept):
    np.save(tmp_path / "old.npy", some_rows(4))
    writer = RowWriter(tmp_path / "new.npy", tmp_path / "old.npy", 4, SHAPE)
    for row in kept:
        writer.keep(row)
    path = writer.finish()
    writer.close()
    np.testing.assert_array_equal(map_rows(path), some_rows(4)[kept])
    assert path.name == ("old.npy" if kept == [0, 1, 2, 3] else "new.npy")
    assert (tmp_path / "new.npy").exists() == (path.name == "new.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "old.npy"), some_rows(4))


def test_rows_that_are_not_finished_leave_no_file(tmp_path):
    writer = RowWriter(tmp_path / "new.npy", None, 0, SHAPE)
    writer.add(some_rows(1)[0])
    writer.close()
    assert not (tmp_path / "new.npy").exists()


@pytest.mark.parametrize("change", [-1, 1])
def test_a_file_that_is_shorter_or_longer_than_its_header_says_is_refused(tmp_path, change):
    np.save(tmp_path / "rows.npy", some_rows(4))
    content = (tmp_path / "rows.npy").read_bytes()
    (tmp_path / "rows.npy").write_bytes(content[:-1] if change < 0 else content + b"x")
    with pytest.raises(ValueError, match="something else than its header says"):
        map_rows(tmp_path / "rows.npy")
