"""Emulators that others have trained: The Payne's .npz, and PyTorch checkpoints of the same network.

The Payne (Ting et al. 2019, ApJ 879, 69; tingyuansen/The_Payne, spectral_model.py and trainer.py) keeps
flux = w_array_2 f(w_array_1 f(w_array_0 x + b_array_0) + b_array_1) + b_array_2, with x = (labels - x_min) /
(x_max - x_min) - 0.5: the arithmetic of `Payne`, under other names. Its files name neither labels nor wavelengths.
"""

import codecs
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from emulator.apogee import apogee_wavelength
from emulator.array_files import check_arrays
from emulator.commands.errors import InputError, refusing
from emulator.commands.saving import load_saved
from emulator.payne import Payne

log = logging.getLogger(__name__)

LAYERS = ("w_array_0", "b_array_0", "w_array_1", "b_array_1", "w_array_2", "b_array_2")
ARRAYS = (*LAYERS, "x_min", "x_max")
PUBLISHED_LABELS = (  # of the net that comes with The Payne, in the order of its fitting.py and predictor.py
    *("teff", "logg", "vmic"),
    *("c_h", "n_h", "o_h", "na_h", "mg_h", "al_h", "si_h", "p_h", "s_h", "k_h", "ca_h", "ti_h", "v_h", "cr_h", "mn_h"),
    *("fe_h", "co_h", "ni_h", "cu_h", "ge_h", "c12_c13", "vmacro"),
)
TEFF_UNITS = {"K": 1.0, "kK": 1000.0}
TEFF_RANGE = (1000.0, 200_000.0)  # K: what can be a star's
# What an array of floats needs of NumPy in a checkpoint; torch.load by itself lets nothing but tensors through.
REBUILD = np.zeros(1).__reduce__()[0]
FLOAT_ARRAYS: list[Any] = [
    *((REBUILD, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
    *(np.ndarray, np.dtype, type(np.dtype("float32")), type(np.dtype("float64")), codecs.encode),
]


def read_published(
    path: str | Path,
    label_names: Sequence[str] | None = None,
    wavelength: np.ndarray | None = None,
    activation: str = "leaky_relu",
    teff_unit: str = "K",
) -> Payne:
    """The network in The Payne's .npz, or in a PyTorch checkpoint of any other suffix, as a Payne in evaluation mode.

    label_names (L) in the file's order; None: those of The Payne's own net, which has 25. wavelength (P,) vacuum
    Angstrom, ascending; None: the APOGEE grid of 7214 pixels. activation: The Payne's first releases used a sigmoid.
    teff_unit: K or kK, of the file; the Payne's is K. Nothing in the file is run. Raises InputError for what is not
    such a network.
    """
    arrays = _read_npz(path) if Path(path).suffix == ".npz" else _read_checkpoint(path)
    _check_arrays(arrays, path)
    labels, pixels = len(arrays["x_min"]), len(arrays["b_array_2"])
    names = _check_names(label_names, labels, path)
    if wavelength is None and pixels == len(apogee_wavelength()):
        wavelength = apogee_wavelength()
    if wavelength is None or len(wavelength) != pixels:
        got = "none" if wavelength is None else len(wavelength)
        raise InputError(f"wavelength: expected a file of {pixels} of them, as pixels in {path}, got {got}")
    low, high = (arrays[name].astype("float64") for name in ("x_min", "x_max"))
    if "teff" in names:
        teff = names.index("teff")
        low[teff], high[teff] = (end[teff] * TEFF_UNITS[teff_unit] for end in (low, high))
        if not (TEFF_RANGE[0] <= low[teff] and high[teff] <= TEFF_RANGE[1]):
            got = f"{arrays['x_min'][teff]:g} to {arrays['x_max'][teff]:g}"
            raise InputError(f"{path}: expected teff in {teff_unit}, got {got}; see labels and teff_unit")
    width = len(arrays["b_array_0"])
    low_ends, high_ends, pixels_at = map(torch.from_numpy, (low, high, wavelength))
    payne = Payne(names, low_ends, high_ends, pixels_at, width, activation)
    layers = [layer for layer in payne.modules() if isinstance(layer, nn.Linear)]
    with torch.no_grad():
        for number, layer in enumerate(layers):
            for parameter, letter in ((layer.weight, "w"), (layer.bias, "b")):
                parameter.copy_(torch.from_numpy(arrays[f"{letter}_array_{number}"].astype("float64")))
    payne.check(str(path))
    return payne.eval()


def _read_npz(path: str | Path) -> dict[str, np.ndarray]:
    try:
        check_arrays(Path(path))
        with np.load(path, allow_pickle=False) as archive:
            if missing := [name for name in ARRAYS if name not in archive.files]:
                found = ", ".join(archive.files) or "none"
                raise InputError(f"{path}: expected arrays {', '.join(ARRAYS)}, got no {', '.join(missing)} in {found}")
            return {name: np.asanyarray(archive[name]) for name in ARRAYS}
    except FileNotFoundError as error:
        raise InputError(f"{path}: expected The Payne's .npz, found no such file") from error
    except InputError:
        raise
    except Exception as error:
        if "Object arrays" in str(error):
            raise InputError(
                f"{path}: expected arrays of numbers, got Python objects (a pickle), which can run code: refused"
            ) from error
        raise InputError(f"{path}: expected The Payne's .npz, got a truncated or other file") from error


def _read_checkpoint(path: str | Path) -> dict[str, np.ndarray]:
    """The six arrays of three linear layers in the order in which the file holds them, and the labels' ranges.

    The layers may lie at any depth and under any name that ends in 'weight' or 'bias'; the ranges likewise, as x_min
    and x_max, or y_min and y_max.
    """
    try:
        with torch.serialization.safe_globals(FLOAT_ARRAYS):
            contents = load_saved(path)
    except FileNotFoundError as error:
        raise InputError(f"{path}: expected The Payne's .npz or a PyTorch checkpoint, found no such file") from error
    except Exception as error:  # an unpickler that meets other bytes raises anything
        if "GLOBAL" in str(error):  # the instruction of a pickle that names what to run
            raise InputError(
                f"{path}: expected tensors, numbers and text, got other Python objects, which can run code: refused"
            ) from error
        expected = "The Payne's .npz or a PyTorch checkpoint of tensors, numbers and text"
        raise InputError(f"{path}: expected {expected}, got a truncated or other file") from error
    with refusing(f"{path}: expected tensors by their names", "something else"):
        tensors = dict(_tensors(contents))
    found: dict[str, Tensor] = {}
    for kind, ndim, letter in (("weight", 2, "w"), ("bias", 1, "b")):
        layers = [tensor for name, tensor in tensors.items() if name.endswith(kind) and tensor.ndim == ndim]
        found |= {f"{letter}_array_{number}": layer for number, layer in enumerate(layers)}
    for end in ("min", "max"):
        ranges = [tensor for name, tensor in tensors.items() if name.endswith((f"x_{end}", f"y_{end}"))]
        found |= {f"x_{end}": tensor for tensor in ranges[:1]}
    if set(found) != set(ARRAYS):
        names = ", ".join(tensors) or "none"
        raise InputError(
            f"{path}: expected three layers of weight (2 dimensions) and bias (1), and x_min and x_max, got {names}"
        )
    return {name: tensor.detach().numpy() for name, tensor in found.items()}


def _tensors(contents: object, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    if isinstance(contents, Tensor | np.ndarray):
        yield prefix, torch.as_tensor(contents)
    elif isinstance(contents, Mapping):
        for key, value in contents.items():
            yield from _tensors(value, f"{prefix}.{key}" if prefix else str(key))


def _check_arrays(arrays: dict[str, np.ndarray], path: str | Path) -> None:
    if arrays["w_array_0"].ndim == 3:
        shape = arrays["w_array_0"].shape
        raise InputError(f"{path}: expected one network for all pixels, got w_array_0 {shape}: one for each pixel")
    (width, *labels), (pixels, *_) = ((*arrays[name].shape, 0)[:2] for name in ("w_array_0", "w_array_2"))
    shapes = ((width, *labels), (width,), (width, width), (width,), (pixels, width), (pixels,), (*labels,), (*labels,))
    if any(arrays[name].shape != shape or 0 in shape for name, shape in zip(ARRAYS, shapes, strict=True)):
        got = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        expected = "w_array_0 (H, L), w_array_1 (H, H), w_array_2 (P, H), biases (H,), (H,), (P,), x_min and x_max (L,)"
        raise InputError(f"{path}: expected {expected}, got {got}")
    for name, array in arrays.items():
        if array.dtype.kind not in "fiu":
            raise InputError(f"{path}: expected numbers in {name}, got {array.dtype}")
        if not (finite := np.isfinite(array)).all():
            where = tuple(int(i) for i in np.argwhere(~finite)[0])
            raise InputError(f"{path}: expected finite numbers in {name}, got {array[where]} at {where}")
    if (still := ~(arrays["x_min"] < arrays["x_max"])).any():
        label = int(np.argmax(still))
        got = f"{arrays['x_min'][label]:g} and {arrays['x_max'][label]:g} for label {label}"
        raise InputError(f"{path}: expected x_min below x_max, got {got}")


def _check_names(names: Sequence[str] | None, labels: int, path: str | Path) -> tuple[str, ...]:
    if names is None and labels == len(PUBLISHED_LABELS):
        log.info("%s: labels taken for those of The Payne's own net: %s", path, ", ".join(PUBLISHED_LABELS))
        return PUBLISHED_LABELS
    if names is None or len(set(names)) != labels:
        got = "none" if names is None else ", ".join(names)
        raise InputError(f"labels: expected {labels} different names, as labels in {path}, got {got}")
    if unnamed := [name for name in names if not name.strip()]:
        raise InputError(f"labels: expected a name for each label in {path}, got {unnamed[0]!r}")
    return tuple(names)
