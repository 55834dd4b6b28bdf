"""emulator/line_lists.py: line lists of one's own, read as meant, refused by the line, as good as the built-in list."""

import logging
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest

import emulator.grid
from emulator.commands.errors import InputError
from emulator.grid import make_grid, read_grid
from emulator.labels import LABELS
from emulator.line_lists import moog_species, read_lines
from emulator.lines import ATOMS, LINES, MOLECULES
from emulator.payne import Payne
from emulator.synthesis import line_strengths, own_lines, synthesize
from emulator.train import load_config, train_payne
from emulator.wavelength import air_to_vacuum, vacuum_to_air

NUMBERS = (1, 2, 6, 7, 8, *range(11, 17), 19, 20, *range(22, 30))
ATOMIC_NUMBER = dict(zip(ATOMS.symbol, NUMBERS, strict=True))
WAVELENGTH = np.linspace(15700.0, 15800.0, 601)
SUN = np.array([5772.0, 4.44, 1.0, 3.0] + [0.0] * 15)
GIANT = np.array([4300.0, 1.5, 1.6, 5.0] + [-0.2] * 15)


def test_the_elements_of_the_tables_have_these_atomic_numbers():
    assert [ATOMIC_NUMBER[symbol] for symbol in ("H", "O", "Na", "S", "K", "Ca", "Ti", "Fe", "Cu")] == [
        *(1, 8, 11, 16, 19, 20, 22, 26, 29)
    ]


def moog_code(species):
    if species in MOLECULES.name:
        one, two = sorted(ATOMIC_NUMBER[atom] for atom in MOLECULES.atoms[MOLECULES.name.index(species)])
        return f"{one}{two:02d}.0"
    symbol, ion = species.split()
    return f"{ATOMIC_NUMBER[symbol]}.{len(ion) - 1}"


def write_moog(path, lines, wavelength):
    rows = ["a line list in the range:   15150.00  16960.00"]
    for at, species, excitation, log_gf in zip(wavelength, lines.species, lines.excitation, lines.log_gf, strict=True):
        rest = " " * 14 + "7.724          1914Rd0215" if species in MOLECULES.name else ""
        rows.append(f"{at:10.4f}{moog_code(species):>10}{excitation:10.3f}{log_gf:10.3f}{rest}")
    path.write_text("\n".join(rows) + "\n")


VALD_SHORT = "Spec Ion       WL_{medium}(A)  Excit(eV) Vmic log gf* Rad.   Stark   Waals   factor  depth  Reference"
VALD_LONG = (
    "Spec Ion       WL_{medium}(A)  log gf* E_low(eV) J lo E_up(eV)  J up  lower   upper    mean   Rad.   Stark  Waals"
)


def write_vald(path, lines, wavelength, medium, long=False):
    rows = [f" 15150.00000, 16960.00000, {len(wavelength)}, 26863354, 1.0 Wavelength region, lines selected, Vmicro"]
    rows += [
        " " * 50 + "Damping parameters    Lande  Central",
        (VALD_LONG if long else VALD_SHORT).format(medium=medium),
    ]
    for at, species, excitation, log_gf in zip(wavelength, lines.species, lines.excitation, lines.log_gf, strict=True):
        name = f"{species} 1" if species in MOLECULES.name else f"{species.split()[0]} {len(species.split()[1])}"
        start = f"'{name}',{at:16.4f},"
        if long:
            rows.append(
                f"{start}{log_gf:8.3f},{excitation:8.4f},  3.0,  4.8300,  4.0,  1.250,  0.700,  1.800, 8.010,-5.690,"
            )
            rows += [
                "'  LS                        3d7.(4F).4s a5F'",
                "'  LS                       3d6.(3D).4s.4p t3F*'",
            ]
            rows.append("'_          Kurucz Fe I 2014   5 wl:K14   5 gf:K14'")
        else:
            rest = "7.280,-3.910,  -7.330,  1.110, 0.270, '   1 wl:K14   1 K14   1 gf:K14, with a comma'"
            rows.append(f"{start}{excitation:8.4f}, 1.0,{log_gf:7.3f}, {rest}")
    rows += [
        "'t05750_g+4.5_p00p00_v20.DAT',",
        "'H :  -0.04','He:  -1.05',",
        "* oscillator strengths were scaled",
        "References:",
    ]
    path.write_text("\n".join([*rows, " 1. Kurucz obs. energy level: Fe 2"]) + "\n")


def write(path, form, lines=LINES):
    if form == "moog":
        write_moog(path, lines, vacuum_to_air(lines.wavelength))
    elif form == "vald air long":
        write_vald(path, lines, vacuum_to_air(lines.wavelength), "air", long=True)
    else:
        write_vald(path, lines, lines.wavelength, "vac")


FORMS = ["moog", "vald air long", "vald vacuum short"]


@pytest.mark.parametrize("form", FORMS)
def test_the_built_in_list_written_out_and_read_again_gives_the_same_spectra(tmp_path, form):
    write(tmp_path / "own.lines", form)
    lines = own_lines(tmp_path / "own.lines")
    np.testing.assert_allclose(lines.wavelength, LINES.wavelength, atol=1e-4)
    np.testing.assert_array_equal(lines.species, LINES.species)
    np.testing.assert_array_equal(lines.excitation, LINES.excitation)
    np.testing.assert_array_equal(lines.log_gf, LINES.log_gf)
    for star in (SUN, GIANT):
        # Strengths are found anew, so some lines are followed to half or twice the distance.
        np.testing.assert_allclose(synthesize(star, WAVELENGTH, lines), synthesize(star, WAVELENGTH), atol=1e-4)


def test_strengths_are_those_of_the_built_in_list():
    # Which were found with another model of the atmosphere. A factor of 4 is a step of HALF_WINDOWS.
    difference = line_strengths(LINES) - LINES.strength
    assert np.abs(difference).max() < 0.3
    assert np.abs(difference).mean() < 0.1


@pytest.mark.parametrize(
    ("code", "species", "share"),
    [
        ("26.0", "Fe I", 1.0),
        ("26.1", "Fe II", 1.0),
        ("26", "Fe I", 1.0),
        ("14.00000", "Si I", 1.0),
        ("607.0", "CN", 1.0),
        ("607.01214", "CN", 0.988938 * 0.99771),
        ("607.01314", "CN", 0.011062 * 0.99771),
        ("608.01218", "CO", 0.988938 * 0.002),
        ("108.00116", "OH", 0.99998 * 0.997621),
        ("106.00112", "CH", 0.99998 * 0.988938),
        ("606.01212", "C2", 0.988938**2),
        ("126.0", "126.0", 1.0),  # FeH
        ("822.04816", "822.04816", 1.0),  # TiO
        ("10108.0", "10108.0", 1.0),  # water
        ("56.1134", "56.1134", 1.0),  # an isotope of Ba II
        ("29.0063", "29.0063", 1.0),  # an isotope whose share is not known here
        ("26.2", "26.2", 1.0),
    ],
)
def test_codes_of_moog(code, species, share):
    found, log_share = moog_species(code)
    assert found == species
    assert 10**log_share == pytest.approx(share)


@pytest.mark.parametrize("code", ["Fe", "-26.0", "26.x", "1e3", ""])
def test_what_is_no_code_of_moog(code):
    with pytest.raises(ValueError, match="no species code"):
        moog_species(code)


def test_rows_of_linemake_are_read_as_they_are_meant(tmp_path):
    path = tmp_path / "hband.moog"
    path.write_text(
        "a line list in the range:   15800.00  15900.00\n"
        " 15800.574     126.0     1.089    -5.035                1.56              KURUCZ\n"
        "-15801.018 607.01314     3.338    -4.241               7.724          1914Rd0215\n"
        "\n"
        " 15800.058      20.0     5.870     -3.98\n"
    )
    lines = read_lines(path)
    assert lines.species.tolist() == ["Ca I", "CN"]
    np.testing.assert_allclose(lines.wavelength, air_to_vacuum(np.array([15800.058, 15801.018])))
    np.testing.assert_allclose(lines.log_gf, [-3.98, -4.241 + np.log10(0.011062 * 0.99771)])
    assert read_lines(path, "vacuum").wavelength.tolist() == [15800.058, 15801.018]


def test_what_is_left_out_is_counted_and_reported_once(tmp_path, caplog):
    path = tmp_path / "own.moog"
    rows = ["title"] + ["15750.0 126.0 1.0 -3.0"] * 3 + ["15751.0 1.0 10.2 -1.0", "15752.0 56.1 0.6 0.0"]
    rows += ["15753.0 26.0 5.0 -1.0", "15754.0 26.0 5.0 -9.0", "5000.0 26.0 1.0 -1.0"]
    path.write_text("\n".join(rows))
    with caplog.at_level(logging.INFO):
        lines = own_lines(path)
    np.testing.assert_allclose(lines.wavelength, air_to_vacuum(np.array([15753.0])))
    unknown, read = caplog.messages
    assert "left out 5 lines of species without data here: 126.0 3, H I 1, 56.1 1" in unknown
    assert "1 lines from" in read
    assert "left out 1 outside 15150 to 16960 A and 1 too weak to be seen" in read


def test_other_lines_make_another_grid_in_processes_too(tmp_path):
    iron = "\n".join(["title", f"{vacuum_to_air(15750.0):.4f} 26.0 5.0 0.0"])
    (tmp_path / "own.moog").write_text(iron)
    lines = own_lines(tmp_path / "own.moog")
    make_grid(tmp_path / "grid.h5", 20, 1, WAVELENGTH, workers=1, lines=lines)
    grid = read_grid(tmp_path / "grid.h5")
    np.testing.assert_allclose(grid.spectra[3], synthesize(grid.labels[3], WAVELENGTH, lines), atol=1e-6)
    assert abs(WAVELENGTH[grid.spectra[3].argmin()] - 15750.0) < 0.2
    assert not np.allclose(grid.spectra[3], synthesize(grid.labels[3], WAVELENGTH), atol=0.02)
    with h5py.File(tmp_path / "grid.h5") as file:
        assert file.attrs["lines"] == lines.fingerprint()


MOOG = "title\n 15753.0  26.0  5.0  -1.0\n 15754.0  26.0  5.0  -1.2\n"


def vald(change=lambda text: text, **options):
    def make(path):
        few = type(LINES)(*(column[100:105] for column in vars(LINES).values()))
        write_vald(path, few, few.wavelength, options.pop("medium", "vac"), **options)
        path.write_text(change(path.read_text()))

    return make


def text(content):
    return lambda path: path.write_text(content)


BAD_LISTS = {
    "a missing file": (lambda path: None, ["no such file"]),
    "a folder": (lambda path: path.mkdir(), ["no such file"]),
    "an empty file": (text(" \n\n"), ["empty file"]),
    "a binary file": (lambda path: path.write_bytes(b"\x89HDF\0\0\0"), ["binary file"]),
    "a title only": (text("a line list\n"), ["got none"]),
    "prose": (text("Dear reader,\nthis is a letter.\n"), ["in line 2", "this is a letter"]),
    "a short row": (text(MOOG + " 15755.0  26.0  5.0\n"), ["log gf in line 4", "'15755.0 26.0 5.0'"]),
    "a word for a number": (text(MOOG.replace("-1.2", "weak")), ["in line 3", "weak"]),
    "a name for a code": (text(MOOG.replace("26.0  5.0  -1.2", "Fe 5.0 -1.2")), ["species code", "in line 3"]),
    "NaN": (text(MOOG.replace("-1.2", "nan")), ["in line 3"]),
    "a log gf of a slip": (text(MOOG.replace("5.0  -1.2", "5.0  34.2")), ["log gf (dex) of -20 to 3", "in line 3"]),
    "a log gf of NaN": (text(MOOG.replace("5.0  -1.2", "5.0  nan")), ["log gf (dex) of -20 to 3", "in line 3"]),
    "micrometres": (text(MOOG.replace("15753.0", "1.5753")), ["wavelength (Angstrom) of 1000 to 1e+07", "in line"]),
    "an impossible first row": (text("15754.6 26.0 5.0 34.2\n" + MOOG), ["log gf (dex) of -20 to 3", "in line 1"]),
    "wavenumbers for eV": (text(MOOG.replace("5.0  -1.2", "45924.9 -1.2")), ["excitation (eV)", "in line 3"]),
    "unknown species": (text(MOOG.replace("26.0", "126.0")), ["expected lines of", "got 2 of 126.0"]),
    "another window": (text(MOOG.replace("157", "57")), ["from 15150 to 16960 A", "5754.60 to 5755.60"]),
    "lines too weak": (text(MOOG.replace("-1.", "-19.")), ["can be seen"]),
    "a malformed VALD row": (vald(lambda t: t.replace("'CN 1'", "CN 1", 1)), ["element and ion in quotes", "in line"]),
    "a VALD row cut short": (vald(lambda t: t[: t.index("\n'") + 20]), ["in line 4"]),
    "a truncated VALD list": (vald(lambda t: "\n".join(t.split("\n")[:6])), ["expected 5 lines", "got 3"]),
    "a VALD list in nm": (vald(lambda t: t.replace("(A)", "(nm)")), ["in Angstrom", "WL_vac(nm)"]),
    "VALD's extract all": (vald(lambda t: t.replace("Vmic", "")), ["extract stellar", "Excit(eV)"]),
    "a VALD list without its count": (vald(lambda t: t.replace(", 5, ", ", many, ")), ["number of lines in line 1"]),
    "a VALD list without lines": (vald(lambda t: t.replace(", 5, ", ", 0, ")), ["got none"]),
}


@pytest.mark.parametrize("what", BAD_LISTS)
def test_a_bad_list_is_told_in_one_line(tmp_path, what):
    path = tmp_path / "own.lines"
    make, words = BAD_LISTS[what]
    make(path)
    with pytest.raises(InputError) as caught:
        own_lines(path)
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in ["own.lines", "expected", *words]), message


@pytest.mark.parametrize(("header", "medium"), [("air", "vacuum"), ("vac", "air")])
def test_a_medium_against_the_header_is_told(tmp_path, header, medium):
    vald(medium=header)(tmp_path / "own.lines")
    with pytest.raises(InputError, match=f"expected wavelengths in {medium}.*its header says"):
        read_lines(tmp_path / "own.lines", medium)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["grid.lines=own.moog", "grid.path=grid.h5"], "expected path or lines, got both"),
        (["grid.medium=air"], "'grid.medium': expected a line list beside it"),
        (["grid.lines=own.moog", "grid.medium=water"], "vacuum, air, got water"),
        (["grid.lines=nowhere.moog"], "nowhere.moog: expected a line list, found no such file"),
    ],
)
def test_settings_that_contradict_each_other_are_told(tmp_path, monkeypatch, overrides, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=words):
        train_payne(load_config(overrides), tmp_path / "log")
    assert not list(tmp_path.glob("models/*"))


def test_an_emulator_is_trained_on_a_list_of_ones_own(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(emulator.grid, "ProcessPoolExecutor", lambda *_: ThreadPoolExecutor(1))
    write(tmp_path / "own.moog", "moog", type(LINES)(*(column[::50] for column in vars(LINES).values())))
    own = f"grid.lines={tmp_path}/own.moog", f"grid.built_in={tmp_path}/grid.h5", f"output={tmp_path}/payne.pt"
    quick = "training.width=8", "training.components=6", "training.steps=20", "training.batch_size=16", "grid.stars=20"
    with caplog.at_level(logging.INFO):
        train_payne(load_config([*own, *quick]), tmp_path / "log")
    assert "own.moog: 54 lines" in caplog.text
    grid, lines = read_grid(tmp_path / "grid.h5"), own_lines(tmp_path / "own.moog")
    np.testing.assert_allclose(grid.spectra[5], synthesize(grid.labels[5], grid.wavelength, lines), atol=1e-6)
    assert Payne.load(tmp_path / "payne.pt").label_names == LABELS


def test_the_command_tells_a_bad_line(start, tmp_path):
    (tmp_path / "bad.moog").write_text(MOOG + "not a line\n")
    done = start(tmp_path, "grid.lines=bad.moog", module="emulator.train").wait()
    assert done.code == 2, done.err
    (line,) = done.err.splitlines()
    assert line.startswith("error: bad.moog: expected wavelength")
    assert "line 4, got 'not a line'" in line
    assert not list(tmp_path.glob("models/*"))
