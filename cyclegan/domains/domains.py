"""A domain yields spectra; the two domains of a run, and whether their stars to score on are the same."""

import logging
from collections.abc import Mapping
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from cyclegan.domains.effects import make_observation
from cyclegan.domains.emulated import EmulatedDomain
from cyclegan.domains.fingerprint import Fingerprint, check_same
from cyclegan.domains.from_file import HDF5Domain
from cyclegan.domains.population import Population
from cyclegan.domains.schema import DomainsConfig
from cyclegan.spectra.same_stars import Rows, match_rows
from cyclegan.spectra.spectra import FEWEST, Spectra
from emulator.commands.errors import InputError
from emulator.payne import Payne
from emulator.wavelength import same_wavelengths, unlike_pixel

log = logging.getLogger(__name__)


class Domain(Protocol):
    """Where spectra come from.

    wavelength (P,): vacuum Angstrom, ascending; fixed: every draw is the same; origin: what to call it in a message.
    """

    wavelength: Tensor
    fixed: bool
    origin: str

    def draw(self, seed: int) -> Spectra:
        """Training spectra (N, P) for the batches of one epoch."""
        ...

    def matched(self, subset: str) -> Spectra:
        """Spectra (N, P) of the 'val' or 'test' stars, whose rows are the same stars in both domains if any are."""
        ...

    def count(self, subset: str) -> int:
        """How many spectra `matched` gives, or `draw` of 'train'."""
        ...

    def truth(self, subset: str) -> Tensor | None:
        """The noiseless flux (N, P) of `matched`, where it is known."""
        ...

    def drawn_labels(self, seed: int) -> dict[str, Tensor]:
        """Labels (N,) of what `draw` gives, by name; none where they are not known."""
        ...

    def known_labels(self, subset: str) -> dict[str, Tensor]:
        """Labels (N,) of what `matched` gives, by name; none where they are not known."""
        ...


class Stars(NamedTuple):
    """Spectra, or coordinates, of N stars of the synthetic and M of the observed domain."""

    synth: Spectra
    obs: Spectra

    def to(self, device: torch.device | str) -> "Stars":
        """The same on a device."""
        return Stars(self.synth.to(device), self.obs.to(device))


class Domains(NamedTuple):
    """The two domains, and whether the stars of 'val' and 'test' are the same in both."""

    synth: Domain
    obs: Domain
    matched: bool


def make_domains(
    config: DomainsConfig,
    emulator: Payne | None,
    population: Population,
    hidden: dict[str, Tensor],
    pool: int = 1,
    otherwise: str = " (or domains.matched=false)",
    observed: Payne | None = None,
) -> Domains:
    """The domains that a configuration's `domains` describes.

    emulator: for the domains without a file, on the pixels of the other's; population: which stars it makes; hidden: by
    domain, the pixels (P,) whose lines it lacks; pool: how many synthetic stars to make for each that is wanted;
    otherwise: what may be done about other stars; observed: the emulator of the observed domain, if it has one of its
    own. Two files hold the same stars in 'val' and 'test' if config.matched says so, and InputError is raised where
    they do not; where one domain is emulated, its spectra are normalised as the other's file says, and it makes the
    stars of that file from the labels there.
    """
    files: dict[str, HDF5Domain] = {}
    emulated: dict[str, EmulatedDomain] = {}
    for name, domain in config.sides().items():
        if domain.path is not None:
            files[name] = HDF5Domain(
                domain.path, config.skip_pixels, config.wavelength, config.worst_error, observed=name == "obs"
            )
        elif emulator is not None:
            own = observed if name == "obs" and observed is not None else emulator
            observation = make_observation(domain.effects, own.wavelength)
            stars = config.stars * (pool if name == "synth" else 1)
            emulated[name] = EmulatedDomain(own, population, stars, config.matched_stars, hidden.get(name), observation)
    matched = config.matched
    if len(files) == 2 and matched:
        match_files(files["synth"], files["obs"], otherwise)
    leave_out_blind(list(files.values()), matched)
    if len(files) == len(emulated) == 1:
        (file,), (made,) = files.values(), emulated.values()
        made.continuum = file.continuum
        matched = matched and match_by_labels(made, file)
    both = files | emulated
    return Domains(both["synth"], both["obs"], matched)


def check_domains(domains: Domains, fewest_synthetic: int) -> None:
    """Raise InputError where two domains cannot be trained on together.

    fewest_synthetic: training stars that are needed of the synthetic one.
    """
    synth, obs, _ = domains
    a, b = synth.wavelength, obs.wavelength
    if len(a) != len(b):
        raise InputError(f"domains: expected as many pixels in both, got {len(a)} in synth, {len(b)} in obs")
    if not same_wavelengths(a, b):
        pixel = unlike_pixel(a, b)
        raise InputError(
            f"domains: expected the same wavelengths in both, got {a[pixel]:.3f} A in synth"
            f" and {b[pixel]:.3f} A in obs at pixel {pixel}"
        )
    if (count := min(domain.count("val") for domain in (synth, obs))) < FEWEST["val"]:
        raise InputError(f"domains: expected at least {FEWEST['val']} stars in 'val', got {count}")
    for name, domain, fewest in (("synth", synth, fewest_synthetic), ("obs", obs, FEWEST["train"])):
        if (count := domain.count("train")) < fewest:
            raise InputError(
                f"domains.{name}: expected at least {fewest} spectra in 'train', as fewer are translated worse than by"
                f" a mean shift, got {count}"
            )


def fingerprints(domains: Domains) -> dict[str, Fingerprint]:
    """What tells the files of the domains, by their names, from others; nothing of emulated ones."""
    sides = {"synth": domains.synth, "obs": domains.obs}
    return {name: domain.fingerprint for name, domain in sides.items() if isinstance(domain, HDF5Domain)}


def check_fingerprints(domains: Domains, expected: Mapping[str, Fingerprint]) -> None:
    """Raise InputError where a file holds other spectra than those that a run was trained with.

    expected: `fingerprints` of the run; none of an older version's.
    """
    for name, domain in (("synth", domains.synth), ("obs", domains.obs)):
        if isinstance(domain, HDF5Domain) and name in expected:
            check_same(domain.path, domain.fingerprint, expected[name])


def match_files(synth: HDF5Domain, obs: HDF5Domain, otherwise: str) -> None:
    """Put the 'val' and 'test' stars of a synthetic file into the order of the observed one's.

    otherwise: what may be done where that cannot be. Raises InputError where they are not the same stars.
    """
    for subset in ("val", "test"):
        one, other = (
            Rows(name, domain.count(subset), domain.identities[subset], domain.known_labels(subset))
            for name, domain in (("synth", synth), ("obs", obs))
        )
        try:
            match = match_rows(subset, one, other, otherwise)
        except InputError as error:
            raise InputError(f"domains: {error}") from error
        if match.order is not None:
            synth.arrange(subset, match.order)
            log.info("domains: %s", match.told)
        if match.doubt is not None:
            log.warning("domains: %s", match.doubt)


def stars_to_score(synth: Domain, obs: Domain, subset: str) -> Stars:
    """As many stars (N, P) of each domain; they are cut to the smaller number only where no stars are matched."""
    theory, observed = synth.matched(subset), obs.matched(subset)
    count = slice(min(len(theory.flux), len(observed.flux)))
    return Stars(theory.rows(count), observed.rows(count))


def star_labels(domains: Domains, subset: str) -> dict[str, Tensor]:
    """Labels (N,) of the stars that are scored, by name, on the CPU; none where nobody knows them."""
    sides = [domains.obs, domains.synth] if domains.matched else [domains.obs]
    for domain in sorted(sides, key=lambda side: not isinstance(side, EmulatedDomain)):
        if labels := domain.known_labels(subset):
            return {name: values.cpu() for name, values in labels.items()}
    return {}


def leave_out_blind(files: list[HDF5Domain], matched: bool) -> None:
    """Leave stars without a usable pixel out of 'val' and 'test'; where rows are matched, out of all files."""
    for subset in ("val", "test"):
        seen = [file.seen(subset) for file in files]
        if matched and len({len(rows) for rows in seen}) == 1:  # others are refused, as they cannot be matched
            seen = [torch.stack(seen).all(dim=0)] * len(files)
        for file, rows in zip(files, seen, strict=True):
            file.keep_seen(subset, rows)


def match_by_labels(emulated: EmulatedDomain, file: HDF5Domain) -> bool:
    """Make the matched stars of an emulated domain those of a file, from the labels that the file gives them.

    Stars outside the emulator's range, or without one of its labels, are left out of the file's matched ones. False
    where that leaves too few to score: the two domains are then taken to have no star in common.
    """
    emulator = emulated.emulator
    if missing := [name for name in emulator.label_names if name not in file.label_names]:
        log.warning("%s: no stars are matched, as it holds no labels %s", file.path, ", ".join(missing))
        return False
    columns = [file.label_names.index(name) for name in emulator.label_names]
    low, high = emulator.label_low.cpu(), emulator.label_high.cpu()
    inside, known = {}, {}
    for subset in ("val", "test"):
        if (labels := file.labels[subset]) is None:
            log.warning("%s: no stars are matched, as it holds no 'labels %s'", file.path, subset)
            return False
        known[subset] = labels[:, columns]
        inside[subset] = ((known[subset] >= low) & (known[subset] <= high)).all(dim=1)
        count = int(inside[subset].sum())
        log.info("%s: %d of %d stars in '%s' are matched by labels", file.path, count, len(labels), subset)
    needed = [FEWEST[subset] for subset in inside]
    if any(rows.sum() < least for rows, least in zip(inside.values(), needed, strict=True)):
        log.warning("%s: no stars are matched, as scores need %d in 'val', %d in 'test'", file.path, *needed)
        return False
    for subset, rows in inside.items():
        file.keep(subset, rows)
        emulated.known[subset] = known[subset][rows]
    return True
