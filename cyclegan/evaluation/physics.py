"""Is a translation physics or paint? What a translator does to spectra that it could not do by knowing stars."""

from typing import NamedTuple

import torch
from torch import Tensor

from cyclegan.fitting.fitter import Fitter
from cyclegan.fitting.forward import EMULATOR, TRANSLATOR, SpectrumModel
from cyclegan.spectra.spectra import ERROR_FLOOR, Spectra, exact
from cyclegan.trained.forward import ForwardModel
from cyclegan.trained.model import TrainedModel
from emulator.derivatives import responses

NOISE = (0.0, 0.1, 1.0)  # of the error floor, added to translations before they are translated back
DIFFERENTIATED, FITTED = 48, 96  # stars
STARS_SEED = 5 * 10**12


class Physics(NamedTuple):
    """cycle: for each amplitude of NOISE, the mean squared distance of synthetic spectra from their own cycle, in
    units of the error floor squared; labels: what `label_rows` gives, none where labels make no spectra.
    """

    cycle: dict[str, float]
    labels: list[dict[str, str | float]]


def examine_physics(model: TrainedModel, synth: Spectra) -> Physics:
    """All three checks; synth (N, P): synthetic spectra to translate there and back."""
    labels = label_rows(model.forward_model, model.observed_emulated) if model.label_names else []
    return Physics(cycle_under_noise(model, synth), labels)


@torch.no_grad()
def cycle_under_noise(model: TrainedModel, synth: Spectra) -> dict[str, float]:
    """How a cycle degrades when noise far below the error floor is added on the way (`Physics.cycle`).

    A translator that hides what it needs for the way back in amplitudes that no telescope sees, as CycleGANs do
    (Chu et al. 2017, arXiv:1712.02950), loses it to such noise.
    """
    generator = torch.Generator().manual_seed(STARS_SEED)
    observed = model.synth_to_obs(synth.flux, mask=synth.mask)
    noise = ERROR_FLOOR * torch.randn(observed.shape, generator=generator)
    found = {}
    for amplitude in NOISE:
        back = model.obs_to_synth(observed + amplitude * noise)
        found[f"{amplitude:g}"] = ((back - synth.flux) / ERROR_FLOOR)[synth.mask].square().mean().item()
    return found


@torch.no_grad()
def label_rows(model: ForwardModel, observed_emulated: bool) -> list[dict[str, str | float]]:
    """A row for each label of drawn stars: how its effect survives the translation, and whether its value does.

    fidelity: Pearson's correlation, over pixels and stars, of d x_so / d label with the observed emulator's own;
    theory: the same of d x_s / d label; both only where the observed domain is emulated. bias, scatter: mean and
    standard deviation of labels fitted to translated spectra minus those fitted to the synthetic ones; spread: the
    standard deviation of the labels themselves. Translated spectra are fitted through the observed domain's emulator
    where there is one, otherwise through the translator.
    """
    emulator, columns = model.emulator, range(len(model.label_names))
    stars = model.population.sample(emulator, FITTED, torch.Generator().manual_seed(STARS_SEED))
    correlations = torch.full((2, len(columns)), torch.nan)
    if observed_emulated:
        some = stars[:DIFFERENTIATED]
        truth = responses(emulator, some, columns)
        maps = (model.observed, model.synthetic)
        correlations = torch.stack([correlation(responses(flux, some, columns), truth) for flux in maps])
    theory = _fitted(SpectrumModel(model, EMULATOR), model.synthetic(stars))
    through = (model.complete(), EMULATOR) if observed_emulated else (model, TRANSLATOR)
    translated = _fitted(SpectrumModel(*through), model.observed(stars))
    off = translated - theory
    return [
        {
            "label": name,
            "fidelity": correlations[0, i].item(),
            "theory": correlations[1, i].item(),
            "bias": off[:, i].mean().item(),
            "scatter": off[:, i].std().item(),
            "spread": stars[:, i].std().item(),
        }
        for i, name in enumerate(model.label_names)
    ]


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """Pearson's correlation (E,) over stars and pixels of two (N, P, E)."""
    a, b = ((x - x.mean(dim=(0, 1))).flatten(0, 1).double() for x in (a, b))
    return (a * b).sum(dim=0) / (a.square().sum(dim=0) * b.square().sum(dim=0)).sqrt().clamp_min(1e-30)


def _fitted(model: SpectrumModel, flux: Tensor) -> Tensor:
    return Fitter(model, starts=1, seed=0)(exact(flux)).labels
