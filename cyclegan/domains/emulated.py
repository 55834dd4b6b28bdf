"""A domain whose spectra a frozen emulator makes on the fly, on the device."""

import torch
from torch import Tensor

from cyclegan.domains.exposure import Exposure, Observation
from cyclegan.domains.population import Population
from cyclegan.spectra.continuum import Continuum
from cyclegan.spectra.spectra import Spectra
from emulator.payne import Payne

# Stars to score on are the same in every run, whatever its seed: runs differ by their training, not by their exam.
MATCHED_SEEDS = {"val": 10**12, "test": 2 * 10**12}
ANCHOR_SEED = 3 * 10**12
NORMALIZED = 500  # spectra at a time: the fit of continua takes several times their memory


class EmulatedDomain:
    """Spectra that a frozen emulator makes on its device of stars that are drawn from a population, anew each time.

    hidden (P,) bool: pixels set to the continuum, as if their lines were missing from the list. observation: what
    happens to the spectra on their way here. continuum: how the other domain's spectra were normalised, and hence
    these too; known: labels (N, L) of the stars of 'val' and 'test', where they are given and not drawn.
    """

    fixed, origin = False, "the emulator"

    def __init__(
        self,
        emulator: Payne,
        population: Population,
        stars: int,
        matched_stars: int,
        hidden: Tensor | None,
        observation: Observation,
    ) -> None:
        self.emulator, self.population = emulator.requires_grad_(False).eval(), population
        self.stars, self.matched_stars = stars, matched_stars
        self.hidden, self.observation = hidden, observation
        self.wavelength = emulator.wavelength
        self.continuum: Continuum | None = None
        self.known: dict[str, Tensor] = {}

    def _labels(self, stars: int, seed: int) -> Tensor:
        labels = self.population.sample(self.emulator, stars, torch.Generator().manual_seed(seed))
        return labels.to(self.wavelength.device)

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

    def matched_labels(self, subset: str) -> Tensor:
        """Labels (N, L) of the stars of `matched`, in the emulator's order."""
        if subset in self.known:
            return self.known[subset]
        return self._labels(self.matched_stars, MATCHED_SEEDS[subset])

    def _observe_matched(self, subset: str) -> Exposure:
        return self._observe(self.matched_labels(subset), MATCHED_SEEDS[subset] + 1)

    def draw(self, seed: int) -> Spectra:
        """Spectra (N, P) of stars drawn by a seed, and observed."""
        return self._observe(self._labels(self.stars, seed), seed + 1).spectra()

    def of(self, labels: Tensor) -> Spectra:
        """Spectra (n, P) of stars of these labels (n, L), in the emulator's order."""
        return self._observe(labels, ANCHOR_SEED).spectra()

    def matched(self, subset: str) -> Spectra:
        """Spectra (N, P) of the stars to score on."""
        return self._observe_matched(subset).spectra()

    def count(self, subset: str) -> int:
        """How many spectra `matched` gives, or `draw` of 'train'."""
        if subset == "train":
            return self.stars
        return len(self.known[subset]) if subset in self.known else self.matched_stars

    def truth(self, subset: str) -> Tensor:
        """The noiseless flux (N, P) of `matched`."""
        return self._observe_matched(subset).flux

    def drawn_labels(self, seed: int) -> dict[str, Tensor]:
        """Labels (N,) of `draw`, by name."""
        return dict(zip(self.emulator.label_names, self._labels(self.stars, seed).T, strict=True))

    def known_labels(self, subset: str) -> dict[str, Tensor]:
        """Labels (N,) of `matched`, by name."""
        return dict(zip(self.emulator.label_names, self.matched_labels(subset).T, strict=True))
