"""A domain yields Spectra: from an emulator, made on the fly on the device, or from an HDF5 file."""

import logging
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from omegaconf import DictConfig
from torch import Tensor

from cyclegan.continuum import Continuum
from cyclegan.effects import Exposure, Observation, make_observation
from cyclegan.files import FEWEST, SPLITS, SpectraFile
from cyclegan.spectra import WORST_ERROR, Spectra
from emulator.command import InputError
from emulator.labels import ABUNDANCES
from emulator.payne import Payne

log = logging.getLogger(__name__)

NORMALIZED = 500  # spectra at a time: the fit of continua takes several times their memory


class Domain(Protocol):
    """Where spectra come from. wavelength (P,): vacuum Angstrom, ascending; fixed: every draw is the same."""

    wavelength: Tensor
    fixed: bool

    def draw(self, seed: int) -> Spectra:
        """Training spectra (N, P) for the batches of one epoch."""
        ...

    def matched(self, split: str) -> Spectra:
        """Spectra (N, P) of the 'val' or 'test' stars, whose rows are the same stars in both domains if any are."""
        ...

    def count(self, split: str) -> int:
        """How many spectra `matched` gives, or `draw` of 'train'."""
        ...

    def truth(self, split: str) -> Tensor | None:
        """The noiseless flux (N, P) of `matched`, where it is known."""
        ...

    def drawn_labels(self, seed: int) -> dict[str, Tensor]:
        """Labels (N,) of what `draw` gives, by name; none where they are not known."""
        ...

    def known_labels(self, split: str) -> dict[str, Tensor]:
        """Labels (N,) of what `matched` gives, by name; none where they are not known."""
        ...


class HDF5Domain:
    """Spectra from a file in the layout of `SpectraFile`, with all of train, val and test.

    skip_pixels: how many to leave out at the blue end; wavelength_file: for files without wavelengths. Everything is
    checked at the door. What is masked is counted and reported.
    """

    fixed = True

    def __init__(self, path: str | Path, skip_pixels: int = 0, wavelength_file: str | Path | None = None) -> None:
        with SpectraFile(path, skip_pixels, wavelength_file) as file:
            self.path, self.wavelength, self.label_names = file.path, file.wavelength, file.label_names
            if skip_pixels:
                log.info("%s: left out %d pixels at the blue end (domains.skip_pixels)", path, skip_pixels)
            self.splits = {split: self._read(file, split) for split in SPLITS}
            self.labels = {split: file.labels(split) for split in SPLITS}
            # A spectrum without usable pixels teaches nothing; rows of 'train' in the file -> rows here, -1 for none.
            seen = self.seen("train")
            self.train_rows = torch.where(seen, seen.cumsum(dim=0) - 1, -1)
            self.keep_seen("train", seen)
            self.continuum = Continuum.read(file.file, self.wavelength.numpy(), file.places())

    def _read(self, file: SpectraFile, split: str) -> Spectra:
        spectra = file.read(split)
        if len(spectra.flux) == 0:
            raise InputError(f"{self.path}: expected spectra in '{split}', got an empty domain")
        if not spectra.mask.any():
            raise InputError(
                f"{self.path}: expected usable pixels in 'spectra {split}', got none: NaN, masked, or of an error above"
                f" {WORST_ERROR:g} of the continuum, which is to be 1"
            )
        if masked := int((~spectra.mask).sum()):
            log.warning(
                "%s: masked %d of %d pixels in '%s' (NaN, infinite, error above %g, or by the file's own mask)",
                self.path,
                masked,
                spectra.mask.numel(),
                split,
                WORST_ERROR,
            )
        return spectra

    def keep(self, split: str, wanted: Tensor) -> None:
        """Hold only those spectra of a split that are wanted (N,) bool, with their labels."""
        if wanted.all():
            return
        self.splits[split] = self.splits[split].rows(wanted)
        if self.labels[split] is not None:
            self.labels[split] = self.labels[split][wanted]

    def seen(self, split: str) -> Tensor:
        """Which stars of a split have a usable pixel, (N,) bool."""
        return self.splits[split].mask.any(dim=1)

    def keep_seen(self, split: str, seen: Tensor) -> None:
        """Hold only the stars of a split that are seen (N,) bool, and report how many are not."""
        if blind := int((~seen).sum()):
            log.warning("%s: left out %d stars in '%s' that have no usable pixel", self.path, blind, split)
        self.keep(split, seen)

    def draw(self, seed: int) -> Spectra:
        return self.splits["train"]

    def matched(self, split: str) -> Spectra:
        return self.splits[split]

    def count(self, split: str) -> int:
        return len(self.splits[split].flux)

    def truth(self, split: str) -> Tensor | None:
        return None

    def drawn_labels(self, seed: int) -> dict[str, Tensor]:
        return self.known_labels("train")

    def known_labels(self, split: str) -> dict[str, Tensor]:
        labels = self.labels[split]
        return {} if labels is None else dict(zip(self.label_names, labels.T, strict=True))


class EmulatedDomain:
    """Spectra that a frozen emulator makes on its device of stars drawn anew each time.

    hidden (P,) bool: pixels set to the continuum, as if their lines were missing from the list. observation: what
    happens to the spectra on their way here. continuum: how the other domain's spectra were normalised, and hence
    these too; known: labels (N, L) of the stars of 'val' and 'test', where they are given and not drawn.
    """

    fixed = False

    def __init__(
        self, emulator: Payne, stars: int, matched_stars: int, hidden: Tensor | None, observation: Observation
    ) -> None:
        self.emulator = emulator.requires_grad_(False).eval()
        self.stars, self.matched_stars = stars, matched_stars
        self.hidden, self.observation = hidden, observation
        self.wavelength = emulator.wavelength
        self.continuum: Continuum | None = None
        self.known: dict[str, Tensor] = {}

    def _labels(self, stars: int, seed: int) -> Tensor:
        return draw_stars(self.emulator, stars, torch.Generator().manual_seed(seed)).to(self.wavelength.device)

    @torch.no_grad()
    def _clean(self, labels: Tensor) -> Tensor:
        flux = self.emulator(labels.to(self.emulator.label_low))
        if self.hidden is not None:
            flux = flux.masked_fill(self.hidden.to(flux.device), 1.0)
        if self.continuum is not None:
            flux = torch.cat([self.continuum.normalize_exact(chunk) for chunk in flux.split(NORMALIZED)])
        return flux

    @torch.no_grad()
    def _observe(self, labels: Tensor, seed: int) -> Exposure:
        return self.observation(self._clean(labels), seed)

    def matched_labels(self, split: str) -> Tensor:
        """Labels (N, L) of the stars of `matched`, in the emulator's order."""
        if split in self.known:
            return self.known[split]
        return self._labels(self.matched_stars, MATCHED_SEEDS[split])

    def _observe_matched(self, split: str) -> Exposure:
        return self._observe(self.matched_labels(split), MATCHED_SEEDS[split] + 1)

    def draw(self, seed: int) -> Spectra:
        return self._observe(self._labels(self.stars, seed), seed + 1).spectra()

    def of(self, labels: Tensor) -> Spectra:
        """Spectra (n, P) of stars of these labels (n, L), in the emulator's order."""
        return self._observe(labels, ANCHOR_SEED).spectra()

    def matched(self, split: str) -> Spectra:
        return self._observe_matched(split).spectra()

    def count(self, split: str) -> int:
        if split == "train":
            return self.stars
        return len(self.known[split]) if split in self.known else self.matched_stars

    def truth(self, split: str) -> Tensor:
        return self._observe_matched(split).flux

    def drawn_labels(self, seed: int) -> dict[str, Tensor]:
        return dict(zip(self.emulator.label_names, self._labels(self.stars, seed).T, strict=True))

    def known_labels(self, split: str) -> dict[str, Tensor]:
        return dict(zip(self.emulator.label_names, self.matched_labels(split).T, strict=True))


class Domains(NamedTuple):
    """The two domains, and whether the stars of 'val' and 'test' are the same in both."""

    synth: Domain
    obs: Domain
    matched: bool


def make_domains(config: DictConfig, emulator: Payne | None, hidden: dict[str, Tensor], pool: int = 1) -> Domains:
    """The domains that a configuration's `domains` describes.

    emulator: for the domains without a file, on the pixels of the other's; hidden: by domain, the pixels (P,) whose
    lines it lacks; pool: how many synthetic stars to make for each that is wanted. Two files hold the same stars in
    'val' and 'test' if config.matched says so; where one domain is emulated, its spectra are normalised as the other's
    file says, and it makes the stars of that file from the labels there.
    """
    files: dict[str, HDF5Domain] = {}
    emulated: dict[str, EmulatedDomain] = {}
    for name in ("synth", "obs"):
        domain = config[name]
        if domain.path is not None:
            files[name] = HDF5Domain(domain.path, config.skip_pixels, config.wavelength)
        else:
            observation = make_observation(domain.effects, emulator.wavelength)
            stars = config.stars * (pool if name == "synth" else 1)
            emulated[name] = EmulatedDomain(emulator, stars, config.matched_stars, hidden.get(name), observation)
    matched = config.get("matched", True)  # checkpoints of older runs do not say
    leave_out_blind(list(files.values()), matched)
    if len(files) == len(emulated) == 1:
        (file,), (made,) = files.values(), emulated.values()
        made.continuum = file.continuum
        matched = matched and match_by_labels(made, file)
    made = files | emulated
    return Domains(made["synth"], made["obs"], matched)


def check_same_stars(synth: Domain, obs: Domain, otherwise: str = "") -> None:
    """Raise InputError where domains of matched stars hold different numbers of them; otherwise: what may be done."""
    for split in ("val", "test"):
        counts = synth.count(split), obs.count(split)
        if counts[0] != counts[1]:
            raise InputError(
                f"domains: expected the same stars in '{split}' of both, got {counts[0]} in synth, {counts[1]} in obs"
                f"{otherwise}"
            )


def stars_to_score(synth: Domain, obs: Domain, split: str) -> tuple[Spectra, Spectra]:
    """As many stars (N, P) of each domain; they are cut to the smaller number only where no stars are matched."""
    stars = synth.matched(split), obs.matched(split)
    count = min(len(spectra.flux) for spectra in stars)
    return tuple(spectra.rows(slice(count)) for spectra in stars)


def star_labels(domains: Domains, split: str) -> dict[str, Tensor]:
    """Labels (N,) of the stars that are scored, by name, on the CPU; none where nobody knows them."""
    sides = [domains.obs, domains.synth] if domains.matched else [domains.obs]
    for domain in sorted(sides, key=lambda side: not isinstance(side, EmulatedDomain)):
        if labels := domain.known_labels(split):
            return {name: values.cpu() for name, values in labels.items()}
    return {}


def leave_out_blind(files: list[HDF5Domain], matched: bool) -> None:
    """Leave stars without a usable pixel out of 'val' and 'test'; where rows are matched, out of all files."""
    for split in ("val", "test"):
        seen = [file.seen(split) for file in files]
        if matched and len({len(rows) for rows in seen}) == 1:  # others are refused, as they cannot be matched
            seen = [torch.stack(seen).all(dim=0)] * len(files)
        for file, rows in zip(files, seen, strict=True):
            file.keep_seen(split, rows)


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
    inside = {}
    for split in ("val", "test"):
        if (labels := file.labels[split]) is None:
            log.warning("%s: no stars are matched, as it holds no 'labels %s'", file.path, split)
            return False
        inside[split] = ((labels[:, columns] >= low) & (labels[:, columns] <= high)).all(dim=1)
        count = int(inside[split].sum())
        log.info("%s: %d of %d stars in '%s' are matched by labels", file.path, count, len(labels), split)
    needed = [FEWEST[split] for split in inside]
    if any(rows.sum() < least for rows, least in zip(inside.values(), needed, strict=True)):
        log.warning("%s: no stars are matched, as scores need %d in 'val', %d in 'test'", file.path, *needed)
        return False
    for split, rows in inside.items():
        file.keep(split, rows)
        emulated.known[split] = file.labels[split][:, columns]
    return True


# Stars to score on are the same in every run, whatever its seed: runs differ by their training, not by their exam.
MATCHED_SEEDS = {"val": 10**12, "test": 2 * 10**12}
ANCHOR_SEED = 3 * 10**12
DRAWS = 100  # of as many stars as are wanted, before an emulator's range counts as not a survey's


def draw_stars(emulator: Payne, n: int, generator: torch.Generator) -> Tensor:
    """Labels (n, L) of survey stars within an emulator's range, on the CPU: those outside are left out.

    Labels that `draw_survey_stars` does not know are drawn uniformly over the emulator's range, each on its own. Raises
    InputError where next to no survey star lies within it.
    """
    low, high = emulator.label_low.cpu(), emulator.label_high.cpu()
    stars = torch.empty(0, len(low))
    for _ in range(DRAWS):
        survey = draw_survey_stars(n, generator)
        columns = [
            survey[name] if name in survey else low[i] + (high[i] - low[i]) * torch.rand(n, generator=generator)
            for i, name in enumerate(emulator.label_names)
        ]
        drawn = torch.stack(columns, dim=1)
        inside = (drawn >= low) & (drawn <= high)
        stars = torch.cat([stars, drawn[inside.all(dim=1)]])
        if len(stars) >= n:
            return stars[:n]
    column = int(inside.sum(dim=0).argmin())
    worst = f"label '{emulator.label_names[column]}' of {low[column]:.6g} to {high[column]:.6g}"
    share = f"{len(stars)} of {DRAWS * n} stars inside, fewest by its {worst}"
    raise InputError(f"emulator: expected a range of labels in which survey stars lie, got {share}")


def draw_survey_stars(n: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Each label (n,) of stars as a survey of the Galactic disc would meet them: 60 % red giants, 40 % dwarfs.

    Gravity follows temperature along the giant branch and the main sequence, with scatter; alpha elements rise
    towards low [Fe/H]; every element scatters by 0.08 dex on its own.
    """

    def normal(centre: Tensor | float, spread: float) -> Tensor:
        return centre + spread * torch.randn(n, generator=generator)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(n, generator=generator)

    giant = torch.rand(n, generator=generator) < 0.6
    teff = torch.where(giant, uniform(4300, 5200), uniform(4600, 6500))
    fe_h = normal(-0.2, 0.25).clamp(-0.9, 0.4)
    branch = 1.3 + (teff - 4300) / 450 - 0.6 * fe_h
    labels = {
        "teff": teff,
        "logg": torch.where(giant, normal(branch, 0.2).clamp(1.0, 3.6), normal(4.45, 0.12).clamp(4.0, 4.8)),
        "vmic": torch.where(giant, normal(1.6, 0.2), normal(1.1, 0.2)).clamp(0.6, 2.3),
        "vmacro": torch.where(giant, normal(5.0, 1.0), normal(4.0, 1.2)).clamp(1.5, 9.0),
        "fe_h": fe_h,
    }
    alpha = normal(-0.15 * fe_h, 0.05)
    for name in ABUNDANCES[1:]:
        trend = alpha if name in ("o_h", "mg_h", "si_h", "s_h", "ca_h", "ti_h") else torch.zeros(n)
        if name in ("c_h", "n_h"):  # the first dredge-up turns carbon of giants into nitrogen
            trend = torch.where(giant, -0.08 if name == "c_h" else 0.12, 0.0)
        labels[name] = fe_h + normal(trend, 0.08).clamp(-0.27, 0.37)
    return labels
