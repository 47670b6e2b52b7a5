"""Slides written by hand are slides to everyone: the same pixels from OpenSlide, tifffile and our reader."""

import numpy as np
import pandas as pd
import pytest
import tifffile

from benchmarks.slide_files import write_slide
from benchmarks.slides import LIMIT, READERS, picture_of, process_time, rate_table, rates
from tissuemake.histology.jpeg_tiles import JpegTiledSlide
from tissuemake.histology.readers import OpenSlideSlide
from tissuemake.histology.slide import open_slide


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return picture_of(None)


def test_a_written_slide_is_a_pyramid_of_the_picture(tmp_path, picture):
    path = write_slide(tmp_path / "slide.tif", picture, 5000, tissue=True)
    with open_slide(path) as slide, OpenSlideSlide(path) as one, tifffile.TiffFile(path) as tiff:
        assert type(slide) is JpegTiledSlide
        assert slide.mpp == 0.5
        assert slide.downsamples == one.downsamples == (1.0, 2.0, 4.0, 8.0)
        assert len(tiff.series[0].levels) == 4
        for level in range(4):
            region = slide.read_level(level, 4500 >> level, 2048 >> level, 300, 200)
            np.testing.assert_array_equal(
                region, one.read_level(level, 4500 >> level, 2048 >> level, 300, 200)
            )
        tissue = slide.read(2100, 2100, 200, 200).astype(int)
        assert np.abs(tissue - picture[52:252, 52:252]).mean() < 5
        assert (slide.read(0, 0, 200, 200) == 243).all()
        shrunk = slide.read(0, 0, 600, 600, 8.0).astype(int)
        assert np.abs(shrunk - slide.read(0, 0, 600, 600, 8.02)).mean() < 5


def test_the_table_has_each_reader_beside_the_limit(tmp_path, picture):
    path = write_slide(tmp_path / "slide.tif", picture, 20_000)
    assert path.stat().st_size < 20e6
    table = rate_table(pd.DataFrame(rates(path, 1, 3, process_time)))
    assert list(table.index) == [*READERS, LIMIT]
    assert list(table.columns) == ["in raster order", "random", "2 processes"]
    assert all(cell.endswith("(1.00)") for cell in table.loc[LIMIT])
