"""What is sound of what readers return; AssertionError says what is not."""

import numpy as np
import torch
from torch import Tensor

from cyclegan.instruments.instrument import Stars
from cyclegan.pairing.known_labels import Known
from cyclegan.spectra.spectra import Spectra
from emulator.apogee import PIXELS
from emulator.flux import FLUX_RANGE
from emulator.labels import LABELS, is_known
from emulator.lines import SPECIES
from emulator.payne import Payne


def are_finite(*values: Tensor | np.ndarray) -> bool:
    """Whether all of some arrays are finite."""
    return all(bool(torch.as_tensor(value).isfinite().all()) for value in values)


def are_wavelengths(values: Tensor | np.ndarray) -> bool:
    """Whether these are wavelengths: finite, above 0, ascending."""
    found = torch.as_tensor(values)
    whole = found.ndim == 1 and len(found) > 1 and found.dtype == torch.float64
    return whole and are_finite(found) and bool((found > 0).all() and (found.diff() > 0).all())


def check_labels(labels: Tensor, shape: tuple[int, ...]) -> None:
    """Labels are known, or NaN."""
    assert labels.shape == shape, f"labels {labels.shape} of {shape}"
    assert (is_known(labels) | labels.isnan()).all(), "labels that are neither known nor NaN"


def check_spectra(spectra: Spectra, shape: tuple[int, int]) -> None:
    """Spectra are of a shape, finite, and flux where they are usable."""
    assert spectra.flux.shape == spectra.error.shape == spectra.mask.shape == shape, "shapes differ"
    assert spectra.mask.dtype == torch.bool, f"a mask of {spectra.mask.dtype}"
    assert are_finite(spectra.flux, spectra.error), "flux or errors that are not finite"
    assert (spectra.error > 0).all(), "errors not above 0"
    low, high = FLUX_RANGE
    usable = spectra.flux[spectra.mask]
    assert ((usable >= low) & (usable <= high)).all(), "usable flux that is none"


def check_emulator(emulator: Payne) -> None:
    """An emulator makes flux, of named labels in ranges, at wavelengths, by lines that there are."""
    names, low, high = emulator.label_names, emulator.label_low, emulator.label_high
    assert len(names) == len(low) == len(high), "shapes differ"
    assert all(isinstance(name, str) and name.strip() for name in names), "labels without a name"
    assert len(set(names)) == len(names), "labels of one name"
    assert (low.isfinite() & high.isfinite() & (low < high)).all(), "ranges that are none"
    assert are_wavelengths(emulator.wavelength), "no wavelengths"
    flux = emulator(((low + high) / 2)[None])
    assert (flux.abs() <= FLUX_RANGE[1]).all(), "flux that is none"
    emulator.check_labels((low + high) / 2)
    assert emulator.on(emulator.wavelength[1:])(low[None]).shape == (1, len(emulator.wavelength) - 1)
    if (lines := emulator.lines) is not None:
        assert len(lines.fingerprint()) == 64
        assert are_finite(lines.wavelength, lines.excitation, lines.log_gf), "lines that are not finite"
        assert len({len(column) for column in vars(lines).values()}) == 1, "columns of lines that differ in length"
        assert (np.diff(lines.wavelength) >= 0).all(), "lines that do not ascend"
        assert set(lines.species.tolist()) <= set(SPECIES), "lines of unknown species"


def check_known(known: Known) -> None:
    """Something is known, and with an error."""
    check_labels(known.labels, known.errors.shape)
    told = known.labels.isfinite()
    assert told.any(), "nothing is known"
    assert (known.errors[told].isfinite() & (known.errors[told] > 0)).all(), "labels without an error"


def check_stars(stars: Stars) -> None:
    """Spectra on the survey's pixels, with what goes with each."""
    count = len(stars.visit)
    assert stars.flux.shape == stars.error.shape == stars.bits.shape == (count, PIXELS), "shapes differ"
    assert [values.dtype for values in stars[:3]] == [np.float32, np.float32, np.int32], "other types"
    assert count > 0, "no spectrum"
    assert stars.snr.shape == stars.name.shape == (count,), "shapes differ"
    assert all(values.shape == (count,) for values in stars.about.values()), "shapes differ"
    assert (np.isnan(stars.snr) | (stars.snr >= 0)).all(), "signal to noise that is none"
    assert all(name.isprintable() for name in stars.name.tolist()), "a name that is none"
    assert all(name.strip() for name in stars.name.tolist()), "no name"
    if stars.labels is not None:
        check_labels(torch.from_numpy(stars.labels), (count, len(LABELS)))
