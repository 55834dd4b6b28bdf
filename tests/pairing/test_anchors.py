"""cyclegan/pairing/anchors.py: stars known in both domains, from rows of files and from labels."""

import h5py
import numpy as np
import pytest
import torch

from cyclegan.domains.domains import Domains
from cyclegan.domains.emulated import EmulatedDomain
from cyclegan.domains.exposure import Observation
from cyclegan.domains.from_file import HDF5Domain
from cyclegan.domains.survey import Survey
from cyclegan.pairing.anchors import read_anchors
from emulator.commands.errors import InputError


@pytest.fixture(scope="module")
def files(domain_files):
    return [HDF5Domain(path) for path in domain_files]


@pytest.fixture
def table(tmp_path):
    def write(text):
        (tmp_path / "anchors.csv").write_text(text)
        return tmp_path / "anchors.csv"

    return write


def emulated(payne):
    return EmulatedDomain(payne, Survey(), 10, 10, None, Observation([]))


def test_rows_of_two_files_are_the_spectra_there(files, table):
    synth, obs = read_anchors(table("obs,synth\n7,3\n0,399\n"), Domains(*files, True))
    for spectra, domain, rows in ((synth, files[0], [3, 399]), (obs, files[1], [7, 0])):
        assert torch.equal(spectra.flux, domain.subsets["train"].flux[rows])
        assert torch.equal(spectra.error, domain.subsets["train"].error[rows])


def test_labels_make_the_synthetic_spectra_of_observed_stars(payne, files, table):
    header = ",".join(["obs", *payne.label_names])
    middle = ((payne.label_low + payne.label_high) / 2).tolist()
    values = ",".join(map(str, middle))
    synth, obs = read_anchors(table(f"{header}\n5,{values}\n"), Domains(emulated(payne), files[1], True))
    torch.testing.assert_close(synth.flux, payne(torch.tensor([middle])))
    assert torch.equal(obs.flux, files[1].subsets["train"].flux[[5]])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "synth,obs\n3,400\n",
            "expected in column 'obs' a row of the 400 training spectra, from 0, got '400' in row 0",
        ),
        ("synth,obs\n3,1\n-1,2\n", "column 'synth'.*got '-1' in row 1"),
        ("synth,obs\n3,1.5\n", "got '1.5' in row 0"),
        ("synth\n3\n", "expected columns synth, obs, got no obs"),
        ("synth,obs,teff\n3,3,5000\n", "unknown teff"),
    ],
)
def test_rows_that_are_not_there_are_told(files, table, text, words):
    with pytest.raises(InputError, match=words):
        read_anchors(table(text), Domains(*files, True))


def test_rows_are_those_of_the_file_though_a_spectrum_of_it_is_left_out(domain_files, table, tmp_path):
    synth, path = HDF5Domain(domain_files[0]), tmp_path / "obs.h5"
    path.write_bytes(domain_files[1].read_bytes())
    with h5py.File(path, "r+") as file:
        flux = file["spectra train"][()]
        file["spectra train"][5] = np.nan
    domains = Domains(synth, HDF5Domain(path), True)
    _, obs = read_anchors(table("synth,obs\n0,4\n0,6\n"), domains)
    assert np.array_equal(obs.flux.numpy(), flux[[4, 6]])
    with pytest.raises(InputError, match="usable pixels of the star in column 'obs', row 1, got none"):
        read_anchors(table("synth,obs\n0,4\n0,5\n"), domains)


def test_labels_that_the_emulator_does_not_take_are_told(payne, files, table):
    header, low = ",".join(["obs", *payne.label_names]), payne.label_low.tolist()
    domains = Domains(emulated(payne), files[1], True)
    for values, words in (([1.0, *low[1:]], "teff"), (["hot", *low[1:]], "a number for 'teff' in row 0, got 'hot'")):
        with pytest.raises(InputError, match=words):
            read_anchors(table(f"{header}\n5,{','.join(map(str, values))}\n"), domains)


def test_a_run_with_anchors(start, domain_files, tmp_path):
    """They make a term of the losses; a table of others ends the run with one line."""
    (tmp_path / "good").mkdir()
    (tmp_path / "bad").mkdir()
    files = [f"domains.{name}.path={path}" for name, path in zip(("synth", "obs"), domain_files, strict=True)]
    common = ["domains=files", "domains.skip_pixels=0", "logger.wandb=false", "domains.anchors=anchors.csv", *files]
    (tmp_path / "good" / "anchors.csv").write_text("synth,obs\n3,7\n5,9\n")
    (tmp_path / "bad" / "anchors.csv").write_text("synth,obs\n3,7\n5,900\n")
    started = {name: start(tmp_path / name, *common) for name in ("good", "bad")}
    good, bad = (started[name].wait() for name in ("good", "bad"))
    assert good.code == 0, good.err
    assert "train/anchors" in (good.run / "metrics.csv").read_text().splitlines()[0]
    assert bad.code == 2
    assert "got '900' in row 1" in bad.err
    assert not list((tmp_path / "bad").glob("runs/*/*"))
