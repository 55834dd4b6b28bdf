"""From labels to spectra of both domains: a differentiable model of what the telescope would see."""

import copy

from torch import Tensor

from cyclegan.domains.population import Population
from cyclegan.spectra.continuum import Continuum
from cyclegan.translator.translator import Translator
from emulator.commands.errors import InputError
from emulator.payne import Payne


class ForwardModel:
    """Labels (B, L) in the emulator's order -> flux (B, P), on the translator's device, with no checks, for torch.func.

    population: which stars it was trained on; hidden (P,): pixels whose lines theory was made to lack; continuum: how
    theory is normalised, if it is; split_sample (n, Zp): split latents of training stars; where: the run, for messages.
    """

    def __init__(
        self,
        emulator: Payne,
        population: Population,
        translator: Translator,
        hidden: Tensor | None,
        continuum: Continuum | None,
        split_sample: Tensor,
        where: str,
    ) -> None:
        self.emulator, self.population, self.translator = emulator, population, translator
        self.hidden, self.continuum = hidden, continuum
        self.split_sample, self.where = split_sample, where
        self.label_names, self.wavelength = emulator.label_names, emulator.wavelength
        self.device = self.wavelength.device

    def members(self) -> "list[ForwardModel]":
        """Those of the members of an ensemble; of a single translator itself."""
        return [self._of(translator) for translator in self.translator.each()]

    def _of(self, translator: Translator) -> "ForwardModel":
        other = copy.copy(self)
        other.translator = translator
        return other

    def hide(self, flux: Tensor) -> Tensor:
        """Flux (B, P) without the lines that theory was made to lack."""
        return flux if self.hidden is None else flux.masked_fill(self.hidden, 1.0)

    def synthetic(self, labels: Tensor) -> Tensor:
        """Stars of these labels (B, L) as theory has them, (B, P)."""
        flux = self.hide(self.emulator(labels))
        return flux if self.continuum is None else self.continuum.normalize_exact(flux)

    def observed(self, labels: Tensor, split: Tensor | None = None) -> Tensor:
        """The same as the telescope would see them, (B, P); split (B, Zp): by default the mean of training stars."""
        t = self.translator
        shared = t.encode_synth(t.space_s.coordinates(self.synthetic(labels)))
        split = self.mean_split().expand(len(shared), -1) if split is None else split
        return t.space_o.restore(t.generator_o(shared, split))

    def mean_split(self) -> Tensor:
        """The mean split latent (1, Zp) of training stars; InputError where none is known."""
        return mean_of(self.split_sample, self.where)

    def complete(self) -> "ForwardModel":
        """The same with a theory that lacks no lines."""
        other = copy.copy(self)
        other.hidden = None
        return other


def mean_of(split_sample: Tensor, where: str) -> Tensor:
    """The mean (1, Zp) of split latents (n, Zp) of training stars; InputError where there are none."""
    return sampled(split_sample, where).mean(dim=0, keepdim=True)


def sampled(split_sample: Tensor, where: str) -> Tensor:
    """Split latents (n, Zp) of training stars; InputError, naming the run, where there are none."""
    if len(split_sample) == 0:
        raise InputError(f"{where}: expected split latents of training stars, got a run not yet validated")
    return split_sample
