"""What a checkpoint stands on besides its weights."""

from dataclasses import MISSING, dataclass, field, fields
from types import UnionType
from typing import Any, Self, get_args, get_origin, get_type_hints

import torch
from torch import Tensor

from cyclegan.domains.fingerprint import Fingerprint, is_fingerprint
from cyclegan.domains.population import Drawn, Population, make_population
from cyclegan.domains.schema import DomainsConfig
from cyclegan.spectra.continuum import Continuum
from cyclegan.translator.axes import Axes
from cyclegan.translator.networks import Networks, make_networks
from emulator.commands.errors import InputError, refusing
from emulator.commands.schema import typed
from emulator.payne import Payne
from emulator.wavelength import same_wavelengths

VERSION = 2  # of the record; version 0.1 of the program wrote none


@dataclass
class Record:
    """All that makes a checkpoint stand alone, as tensors and plain types.

    config: of the run; wavelength (P,): vacuum Angstrom; emulator: contents of that of the emulated domains, on those
    pixels; hidden: by domain, the pixels (P,) whose lines it was made to lack; continuum: contents of how emulated
    synthetic spectra are normalised, if they are, as the observed ones were; matched: whether the domains' stars to
    score on are the same; axes: of the latents, as they are scored; split (n, Zp): split latents of training stars,
    None before the first validation; familiar: by domain, contents of a `Familiarity` with its training stars;
    population: contents of the table that emulated stars were drawn from, if there was one; offset (L, L): covariance
    of what may be wrong with the labels of all stars alike, None where stars are known in both domains; controls: of
    the training stars, translations without networks (`linear.maps.controls`); kept_step: after how many steps the
    networks were what they are, if more steps were made; errors: of an ensemble, by direction, contents of an
    `Uncertainty`, and of a `MapError`, none before its run has ended; observed_emulator: as emulator, of the observed
    domain, where it has one of its own; spectra: by domain, what tells the file that was read from others.
    """

    config: dict[str, Any]
    wavelength: Tensor
    emulator: dict[str, Any] | None
    hidden: dict[str, Tensor]
    continuum: dict[str, Any] | None
    matched: bool
    axes: Axes = field(default_factory=dict)
    split: Tensor | None = None
    familiar: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    population: dict[str, Any] | None = None
    offset: Tensor | None = None
    controls: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    kept_step: int | None = None
    errors: dict[str, dict[str, Any]] = field(default_factory=dict)
    observed_emulator: dict[str, Any] | None = None
    spectra: dict[str, Fingerprint] = field(default_factory=dict)

    def to_plain(self) -> dict[str, Any]:
        """A dictionary that loads safely; `from_plain` is its inverse."""
        own = {one.name: getattr(self, one.name) for one in fields(self)}
        return {"version": VERSION, "medium": "vacuum", **own}

    @classmethod
    def from_plain(cls, plain: Any, where: str) -> Self:
        """What `to_plain` gave.

        Raises InputError, naming where it came from, for what another version wrote, and for a part of another type or
        for other pixels than the rest.
        """
        found = plain.get("version", 1) if isinstance(plain, dict) else None
        if found != VERSION:
            got = "one of version 0.1: train it again" if found == 1 else f"a record of version {found}"
            raise InputError(f"{where}: expected a run of version 0.2 or later of this program, got {got}")
        # What has a default came later, or comes only with the first validation: a run may lack it.
        needed = {one.name for one in fields(cls) if one.default is MISSING and one.default_factory is MISSING}
        if missing := sorted(needed - plain.keys()):
            raise InputError(f"{where}: expected a whole record of a run, got one without {', '.join(missing)}")
        own = {name: (plain[name], kind) for name, kind in get_type_hints(cls).items() if name in plain}
        for name, (value, kind) in own.items():
            if not _is_of(value, kind):
                raise InputError(f"{where}: expected '{name}' of a run's record, got another type of value")
        record = cls(**{name: value for name, (value, _) in own.items()})
        record._check_shapes(where)
        return record

    def _check_shapes(self, where: str) -> None:
        wavelength = self.wavelength
        if (
            wavelength.ndim != 1
            or len(wavelength) < 2
            or not ((wavelength > 0).all() and (wavelength.diff() > 0).all())
        ):
            raise InputError(f"{where}: expected ascending wavelengths in a run's record, got others")
        for name, pixels in self.hidden.items():
            if pixels.shape != wavelength.shape or pixels.dtype != torch.bool:
                raise InputError(
                    f"{where}: expected booleans for {len(wavelength)} pixels in 'hidden.{name}', got others"
                )
        if not all(map(is_fingerprint, self.spectra.values())):
            raise InputError(f"{where}: expected size, time and hash of what was read in 'spectra', got others")
        for name, value, ndim in (("split", self.split, 2), ("offset", self.offset, 2)):
            if value is not None and (value.ndim != ndim or not value.isfinite().all()):
                raise InputError(f"{where}: expected '{name}' of a run's record, a finite table, got another")
        for name, parts in {"familiar": self.familiar, "controls": self.controls, "errors": self.errors}.items():
            values = [value for own in parts.values() for value in own.values() if isinstance(value, Tensor)]
            if not all(value.isfinite().all() for value in values):
                raise InputError(f"{where}: expected finite numbers in '{name}' of a run's record, got others")

    @property
    def domains(self) -> DomainsConfig:
        """The configuration of the run's domains; InputError where it is another version's."""
        return typed(self._part("domains"), DomainsConfig, prefix="domains.")

    @property
    def networks(self) -> Networks:
        """The kind of the run's networks; InputError where it is not known here."""
        return make_networks(self._part("networks"), imported_only=True)

    def _part(self, name: str) -> dict[str, Any]:
        part = self.config.get(name)
        if not isinstance(part, dict):
            raise InputError(f"config key '{name}': expected the keys of a run, got {part}")
        return part

    def emulator_of(self, where: str) -> Payne | None:
        """The emulator of the emulated domains, whatever has become of its file; InputError for one of other pixels."""
        return self._emulator(self.emulator, where)

    def observed_emulator_of(self, where: str) -> Payne | None:
        """That of the observed domain, where it has one of its own."""
        return self._emulator(self.observed_emulator, where)

    def _emulator(self, contents: dict[str, Any] | None, where: str) -> Payne | None:
        if contents is None:
            return None
        emulator = Payne.from_contents(contents, where)
        if not same_wavelengths(emulator.wavelength, self.wavelength):
            raise InputError(f"{where}: expected an emulator on the wavelengths of a run's record, got one on others")
        return emulator

    def population_of_theory(self) -> Population:
        """Which stars emulated domains are made of, whatever has become of the file that said so."""
        if self.population is not None:
            with refusing("a run's record: expected the table that emulated stars were drawn from", "another one"):
                return Drawn.from_contents(self.population)
        return make_population(self.domains.population, imported_only=True)

    def continuum_of_theory(self) -> Continuum | None:
        """How emulated synthetic spectra are normalised, if they are."""
        with refusing("a run's record: expected how emulated spectra are normalised", "something else"):
            return None if self.continuum is None else Continuum.from_contents(self.continuum, self.wavelength.numpy())

    def split_sample(self) -> Tensor:
        """Split latents (n, Zp) of training stars, none before the first validation."""
        return torch.empty(0, self.networks.split) if self.split is None else self.split


def _is_of(value: Any, kind: Any) -> bool:
    """Whether a value is of the type that a field of a record has."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return True
    if origin is UnionType:
        return any(_is_of(value, one) for one in inner)
    if origin is dict:
        return isinstance(value, dict) and all(_is_of(k, inner[0]) and _is_of(v, inner[1]) for k, v in value.items())
    if origin is tuple:
        return isinstance(value, tuple) and len(value) == len(inner) and all(map(_is_of, value, inner))
    return isinstance(value, kind) and (kind is not int or not isinstance(value, bool))
