"""Parquet files with a row for each spectrum of APOGEE, in the columns of the Multimodal Universe.

Columns: https://huggingface.co/datasets/MultimodalUniverse/apogee, and scripts/apogee in
https://github.com/MultimodalUniverse/MultimodalUniverse, which makes them from apStar files.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cyclegan.instruments.instrument import BATCH, Stars, possible_snr
from cyclegan.instruments.label_columns import ABOUT, NAMES, PARAMETERS, SDSS_ID, has_labels, labels_of, number_columns
from cyclegan.instruments.names import star_name
from cyclegan.instruments.parquet_files import column_of, columns_of, numbers_of, opened_parquet, texts_of
from emulator.apogee import LOG_START, LOG_STEP, PIXELS
from emulator.commands.errors import InputError

# What there is for each pixel, by the names that it has there and in files of others.
LISTS = {
    "flux": ("spectrum_flux", "flux"),
    "ivar": ("spectrum_ivar", "ivar"),
    "lambda": ("spectrum_lambda", "spectrum_wavelength", "lambda", "wavelength"),
    "bits": ("spectrum_pix_bitmask", "spectrum_bitmask", "spectrum_mask", "pix_bitmask", "bitmask", "mask"),
}
NEEDED = ("flux", "ivar", "lambda")
REST_FRAME = "RESTFRAME"
# Of a pixel. The set's wavelengths went through single precision in their logarithm, which took them 0.04 pixels off.
OFF_GRID = 0.1


def read_parquet(path: Path) -> Iterator[Stars | InputError]:
    """The spectra of a Parquet file with the labels in it, BATCH at a time; an InputError for each row that is none.

    A row has lists of one length: flux, inverse variance, and wavelength in vacuum Angstrom, which is that of pixels of
    apStar files, all or some; and if there is a mask, its bits, or True for a bad pixel. They are columns, or fields of
    a column 'spectrum'. Pixels that a row lacks are masked. A name stands in a column that `label_columns` knows. Where
    'restframe' is false, a row is none. Raises InputError where there are no such columns, or the file is damaged.
    """
    with opened_parquet(path, f"{path}: expected Parquet with a row a spectrum") as file:
        paths = columns_of(file)
        lists = {key: paths[name] for key, names in LISTS.items() for name in names[::-1] if name in paths}
        if missing := [key for key in NEEDED if key not in lists]:
            got = ", ".join(list(paths)[:8])
            raise InputError(f"{path}: expected columns {', '.join(NEEDED)}, got no {', '.join(missing)} among {got}")
        capitals = {name.upper(): column for name, column in paths.items() if name.upper() != PARAMETERS}
        wanted = {*NAMES, *ABOUT, *number_columns(capitals.keys()), REST_FRAME}
        beside = {name: column for name, column in capitals.items() if name in wanted}
        first = 0
        columns = sorted({*lists.values(), *beside.values()})
        for batch in file.iter_batches(BATCH, columns=columns, use_threads=False):
            arrays = {key: _Lists(column_of(batch, column)) for key, column in lists.items()}
            others = {name: column_of(batch, column) for name, column in beside.items()}
            yield from _Rows(path, first, batch.num_rows, arrays, others).stars()
            first += batch.num_rows
    if not first:
        raise InputError(f"{path}: expected a row for each spectrum, got none")


class _Lists:
    """An array of lists of numbers: their lengths (n,), 0 for one that is missing."""

    def __init__(self, array: Any) -> None:
        self.lengths = np.nan_to_num(numbers_of(array.value_lengths())).astype(int)
        self.values = array.flatten().to_numpy(zero_copy_only=False)
        self.starts = np.cumsum(self.lengths) - self.lengths

    def row(self, number: int) -> np.ndarray:
        """One of the lists."""
        return self.values[self.starts[number] :][: self.lengths[number]]


class _Rows(NamedTuple):
    """So many rows of a file, from the one with number `first` on.

    lists: what they have for each pixel, by the keys of LISTS; others: arrays, by the columns' names in capitals.
    """

    path: Path
    first: int
    number: int
    lists: Mapping[str, _Lists]
    others: Mapping[str, Any]

    def stars(self) -> Iterator[Stars | InputError]:
        """The spectra, and an InputError for each row that is none."""
        told = [texts_of(self.others[name]).tolist() for name in NAMES if name in self.others]
        at_rest = self.others[REST_FRAME].to_pylist() if REST_FRAME in self.others else [None] * self.number
        alike: dict[bytes, tuple[np.ndarray, list[int], list[str]]] = {}  # by wavelengths, the same in most rows
        for row in range(self.number):
            where = f"{self.path}, row {self.first + row}"
            try:
                wavelength = self._wavelength(row, where)
                if at_rest[row] in (False, 0):
                    raise InputError(f"{where}: expected a spectrum in the rest frame, got restframe false")
                name = star_name([*(names[row] for names in told), f"{self.path.stem}-{self.first + row}"], where)
                key = wavelength.tobytes()
                if key not in alike:
                    alike[key] = (_pixels(wavelength, where), [], [])
            except InputError as problem:
                yield problem
            else:
                alike[key][1].append(row)
                alike[key][2].append(name)
        for pixels, rows, names in alike.values():
            with np.errstate(all="ignore"):  # pixels without a number are masked
                stars = self._read(pixels, rows, names)
            yield stars

    def _wavelength(self, row: int, where: str) -> np.ndarray:
        """The wavelengths (p,) of a row; InputError where it has not as many of everything."""
        lengths = {key: int(lists.lengths[row]) for key, lists in self.lists.items()}
        if len(set(lengths.values())) > 1 or not lengths["lambda"]:
            got = ", ".join(f"{length} of {key}" for key, length in lengths.items())
            raise InputError(f"{where}: expected as many numbers in each list, got {got}")
        with np.errstate(invalid="ignore"):
            return self.lists["lambda"].row(row).astype(float)

    def _read(self, pixels: np.ndarray, rows: list[int], names: list[str]) -> Stars:
        """Spectra of the same pixels (p,) of the survey's."""
        given = {key: np.stack([lists.row(row) for row in rows]) for key, lists in self.lists.items()}
        inverse_variance = given["ivar"].astype("float32")
        sound = inverse_variance > 0
        bits = given.get("bits", np.zeros_like(sound))
        if bits.dtype == bool:
            sound, bits = sound & ~bits, np.zeros(bits.shape, int)
        else:
            sound = sound & (bits >= 0) & (bits < 2**31)
        error = np.where(sound, 1 / np.sqrt(np.where(sound, inverse_variance, 1)), 0)
        numbers = {name: numbers_of(values)[rows] for name, values in self.others.items() if name in self._numbers()}
        texts = {name: texts_of(self.others[name])[rows] for name in (*ABOUT, SDSS_ID) if name in self.others}
        return Stars(
            _on_grid(given["flux"].astype("float32"), pixels),
            _on_grid(error, pixels),
            _on_grid(np.where(sound, bits, 0).astype("int32"), pixels),
            np.zeros(len(rows), int),
            possible_snr(numbers.get("SNR", np.full(len(rows), np.nan))),
            np.array(names, str),
            self.path,
            texts,
            labels_of(numbers, numbers.keys()).astype("float32") if has_labels(numbers.keys()) else None,
        )

    def _numbers(self) -> list[str]:
        return number_columns(self.others.keys())


def _pixels(wavelength: np.ndarray, where: str) -> np.ndarray:
    """Which pixels of the survey's (p,) wavelengths are; InputError where they are no such."""
    with np.errstate(all="ignore"):
        position = (np.log10(wavelength) - LOG_START) / LOG_STEP
        pixels = np.rint(position)
        are_some = (np.abs(position - pixels) <= OFF_GRID) & (pixels >= 0) & (pixels < PIXELS)
    if not (are_some.all() and (np.diff(pixels) > 0).all()):
        grid = f"log10 = {LOG_START} + {LOG_STEP:g} i, i below {PIXELS}"
        raise InputError(f"{where}: expected ascending wavelengths of {grid}, got others")
    return pixels.astype(int)


def _on_grid(values: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Values (n, p) in their pixels of the survey's, 0 in the others."""
    found = np.zeros((len(values), PIXELS), values.dtype)
    found[:, pixels] = values
    return found
