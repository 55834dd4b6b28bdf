"""Anchors: stars that are known in both domains, as the Sun, Arcturus or the Gaia benchmark stars.

Unpaired sets do not identify the map between them; a few known pairs can.
"""

from pathlib import Path

from torch import Tensor

from cyclegan.domains.domains import Domains
from cyclegan.domains.emulated import EmulatedDomain
from cyclegan.domains.from_file import HDF5Domain
from cyclegan.pairing.batch import Partners
from cyclegan.spectra.tables import check_names, read_labels, read_rows, read_table
from emulator.commands.errors import InputError


def read_anchors(path: str | Path, domains: Domains) -> Partners:
    """The synthetic and the observed spectra (n, P) of the stars in a table, CSV with a header.

    Its columns: `synth` and `obs`, the star's rows among the training spectra of that domain's file, from 0; for an
    emulated domain, the emulator's labels instead. `id`, a name, may be there too. Raises InputError, naming row and
    column, for what is not there.
    """
    columns = {name: values for name, values in read_table(path).items() if name != "id"}
    sides = {"synth": domains.synth, "obs": domains.obs}
    expected = [name for name, domain in sides.items() if isinstance(domain, HDF5Domain)]
    emulators = [domain.emulator for domain in sides.values() if isinstance(domain, EmulatedDomain)]
    expected += [name for emulator in emulators[:1] for name in emulator.label_names]
    check_names(list(columns), expected, str(path), "columns")
    spectra = []
    for name, domain in sides.items():
        if isinstance(domain, HDF5Domain):
            spectra.append(domain.training(_indices(columns[name], domain.train_rows, name, path)))
        else:
            assert isinstance(domain, EmulatedDomain)
            spectra.append(domain.of(read_labels(columns, domain.emulator, path).to(domain.wavelength.device)))
    return Partners(*spectra)


def _indices(texts: tuple[str, ...], rows: Tensor, name: str, path: str | Path) -> Tensor:
    found = rows[read_rows(texts, len(rows), name, path)]
    if (blind := found < 0).any():
        row = int(blind.nonzero()[0])
        raise InputError(f"{path}: expected usable pixels of the star in column '{name}', row {row}, got none")
    return found
