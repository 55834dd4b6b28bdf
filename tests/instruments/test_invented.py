"""cyclegan/instruments/conversion.py and options.py: an instrument that nobody built is converted as any other."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pytest

from cyclegan.instruments import conversion
from cyclegan.instruments.apogee import ApogeeReader
from cyclegan.instruments.conversion import convert_spectra
from cyclegan.instruments.instrument import Stars
from cyclegan.instruments.options import parse, parser
from cyclegan.instruments.velocities import Velocities
from cyclegan.spectra.files import SUBSETS, SpectraFile
from emulator.commands.errors import InputError
from emulator.instrument import Instrument

PIXELS, CHIP = 300, 160  # in all, and where the second chip begins
SHARES = ("--val", 0.25, "--test", 0.25)
DEAD = np.arange(150, 170)  # between the chips, which the pipeline delivers all the same
WAVELENGTH = np.linspace(5000.0, 5100.0, PIXELS)
TOY = Instrument(
    name="Toy",
    wavelength=WAVELENGTH,
    cuts={"chips": np.setdiff1d(np.arange(PIXELS), DEAD), "everything": np.arange(PIXELS)},
    chip_bounds=(WAVELENGTH[CHIP],),
    resolution=3000.0,
    signal_to_noise=(20.0, 50.0),
    bits=("DUST", "MOONLIGHT", "GHOST"),
    bad_bits=0b101,
)


class Catalogue(NamedTuple):
    """Its labels are the numbers of the stars, and twice those; its third label has no column."""

    missing: tuple[str, ...] = ("hue",)

    def find(self, names, about):
        """Labels (n, 3) of n stars."""
        numbers = np.array([float(name.removeprefix("toy ")) for name in names])
        return np.stack([numbers, 2 * numbers, np.full(len(names), np.nan)], axis=1).astype("float32")

    def velocities(self, names, about):
        """None is known."""
        return np.full(len(names), np.nan)


class ToyReader:
    """Arrays in .npz: a night's spectra, or their mean."""

    instrument = TOY
    files = "toy files"
    patterns = ("*.npz", "*.toy")
    rows = ("mean", "nights")
    label_names = ("age", "mass", "hue")
    labels = "toy catalogue"

    def recognises(self, path: Path) -> bool:
        """Whether a file is an archive of arrays."""
        return path.is_file() and path.read_bytes()[:2] == b"PK"

    def one_each(self, paths):
        """All of them."""
        return list(paths)

    def read(self, path: Path, rows: str, velocities: Velocities) -> Iterator[Stars]:
        """A star's nights."""
        try:
            with np.load(path) as file:
                flux, bits = file["flux"], file["bits"]
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: expected a toy file, got another") from error
        if rows == "mean":
            flux, bits = flux.mean(axis=0, keepdims=True), np.bitwise_or.reduce(bits, axis=0)[None]
        visit = np.arange(1, len(flux) + 1) if rows == "nights" else np.zeros(1, int)
        error = np.full_like(flux, 0.3)
        name = np.full(len(flux), f"toy {path.stem}")
        yield Stars(flux, error, bits, visit, np.full(len(flux), 33.0, "float32"), name, path, {})

    def read_labels(self, path: Path) -> Catalogue:
        """The catalogue, whatever the file."""
        return Catalogue()


@pytest.fixture
def folder(tmp_path):
    """Forty stars of two nights on a continuum of 30 in one chip and 60 in the other, with a dusty pixel each."""
    path, random = tmp_path / "toys", np.random.default_rng(0)
    path.mkdir()
    for number in range(40):
        flux = np.where(np.arange(PIXELS) < CHIP, 30.0, 60.0) * (1 + 0.001 * random.standard_normal((2, PIXELS)))
        bits = np.zeros((2, PIXELS), "int32")
        bits[:, 20], bits[:, 40], bits[1, 60] = 0b001, 0b010, 0b100
        np.savez(path / f"{number}.npz", flux=flux.astype("float32"), bits=bits)
    return path


TOYS = (ToyReader(),)


def converted(*arguments, readers=TOYS):
    given = [str(argument) for argument in arguments]
    return convert_spectra(readers, parse(parser(readers, "toys", "convert toys"), given))


def test_its_spectra_come_out_on_its_pixels_masked_by_its_bits(folder, tmp_path):
    report = converted(folder, tmp_path / "toys.h5", "--labels", tmp_path / "catalogue", *SHARES)
    assert sum(report.spectra.values()) == report.read == 40
    assert dict(report.masked) == {"DUST": pytest.approx(40 / 280), "GHOST": pytest.approx(40 / 280)} | dict.fromkeys(
        ("no flux or no error", "no continuum", "error above 0.05"), 0.0
    )
    assert "labels for 40 of 40 stars, no column for hue" in report.table()
    with SpectraFile(tmp_path / "toys.h5") as file:
        np.testing.assert_allclose(file.wavelength, TOY.cut("chips"))
        assert file.label_names == ToyReader.label_names
        assert (file.file.attrs["toy_rows"], file.file.attrs["toy_bits"]) == ("mean", 0b101)
        assert list(file.subsets) == list(SUBSETS)
        for subset in SUBSETS:
            spectra = file.read(subset)
            assert (~spectra.mask).nonzero()[:, 1].unique().tolist() == [20, 60]  # moonlight does no harm
            assert (spectra.flux - 1).abs().max() < 0.01  # on both chips, of which one is twice as bright
            numbers = [float(name.removeprefix("toy ")) for name in file.identities(subset)]
            labels = file.labels(subset)
            assert labels[:, 0].tolist() == numbers
            assert labels[:, 1].tolist() == [2 * number for number in numbers]
            assert labels[:, 2].isnan().all()


def test_its_rows_cuts_and_bits_are_options(folder, tmp_path):
    options = ("--rows", "nights", "--pixels", "everything", "--bits", "0b010", "--degree", 0, "--val", 0, "--test", 0)
    converted(folder, tmp_path / "toys.h5", *options)
    with h5py.File(tmp_path / "toys.h5") as file:
        assert file["spectra train"].shape == (80, PIXELS)
        assert np.unique(np.nonzero(~file["mask train"][()])[1]).tolist() == [40]
        assert file["visit train"][()].tolist() == [1, 2] * 40
        # Without a gap the chips' bound tells that each has a continuum of its own.
        assert file.attrs["continuum_starts"].tolist() == [0, CHIP]
        assert np.abs(file["spectra train"][()] - 1).max() < 0.01


def test_its_options_are_told_by_its_own_names():
    text = " ".join(parser((*TOYS, ApogeeReader()), "toys", "convert toys").format_help().split())
    for words in (
        "python -m toys",
        "convert toys",
        f"toy files or {ApogeeReader.files}, folders of them, or one HDF5 file",
        "of each file; Toy: mean or nights, APOGEE: combined or visits; the first is the default",
        "which pixels chips keep; Toy: chips or everything, APOGEE: 7214 or 7514 or 8575; the first is the default",
        "that mask a pixel; by default Toy: 5, APOGEE: 28927",
        "to join labels from; Toy: toy catalogue, APOGEE: allStar table, one of SDSS-V, or any in CSV or Parquet",
    ):
        assert words in text


def test_what_is_wrong_with_its_files_is_told_by_their_name(folder, tmp_path, capsys):
    (folder / "bad.toy").write_text("no arrays")
    assert converted(folder, tmp_path / "toys.h5", *SHARES).refused == 1
    assert capsys.readouterr().err == f"refused: {folder / 'bad.toy'}: expected a toy file, got another\n"
    (tmp_path / "void").mkdir()
    with pytest.raises(InputError, match="void: expected toy files in this folder, found none"):
        converted(tmp_path / "void", tmp_path / "out.h5")
    with pytest.raises(InputError, match="IN: expected toy files, or one HDF5 file"):
        converted(tmp_path / "toys.h5", folder, tmp_path / "out.h5")


@pytest.mark.parametrize("readers", [TOYS, (ApogeeReader(), *TOYS)])
def test_an_option_that_the_instrument_does_not_have_is_told_with_those_that_it_has(folder, tmp_path, readers):
    for option, value, expected in (
        ("--rows", "visits", "mean or nights, of Toy, got 'visits'"),
        ("--pixels", "7214", "chips or everything, of Toy, got '7214'"),
        ("--bits", "0b1001", "bits 0 to 2 of Toy, got 9"),
        ("--bits", "-1", "bits 0 to 2 of Toy, got -1"),
    ):
        with pytest.raises(InputError, match=f"^{option}: expected {expected}$"):
            converted(folder, tmp_path / "out.h5", option, value, readers=readers)
        assert not (tmp_path / "out.h5").exists()


def test_the_conversion_names_no_survey():
    assert "apogee" not in Path(conversion.__file__).read_text().lower()
