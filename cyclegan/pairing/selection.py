"""Which synthetic stars to train on, where their labels are not distributed as those of the observed ones.

Both ways choose rows from a larger set of synthetic stars: those that the discriminator finds most observed-like, or
some drawn at random as those are distributed that were last paired with observed stars.
"""

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from torch import Tensor, nn

from cyclegan.spectra.spaces import with_noise
from cyclegan.spectra.spectra import Spectra
from cyclegan.translator.translator import Translator

DISCRIMINATOR, DENSITY = "discriminator", "density"
CHOICES = ("none", DISCRIMINATOR, DENSITY)


@torch.no_grad()
def most_observed(
    translator: Translator,
    discriminator: nn.Module,
    synth: Spectra,
    obs: Spectra,
    count: int,
    generator: torch.Generator,
) -> Tensor:
    """Rows (count,) of the synthetic stars whose translations the observed domain's discriminator finds most real.

    synth (n, K), obs (m, K): coordinates. A translation needs a split latent, noise and a mask: those of an observed
    star at random. The discriminator is to be asked about what it was trained on.
    """
    device = synth.flux.device
    partners = torch.randint(len(obs.flux), (len(synth.flux),), generator=generator).to(device)
    _, split = translator.encoder_o(obs.flux)
    z = translator.encode_synth(synth.flux)
    so = translator.generator_o(z, split[partners])
    _, split_so = translator.encoder_o(so)
    so = with_noise(translator.space_o, so, obs.rows(partners), generator)
    judged = discriminator(so, torch.cat([z, split_so], dim=1))[:, 0]
    return judged.topk(count).indices.cpu()


def density_ratio(at: Tensor, everybody: Tensor, some: Tensor) -> np.ndarray:
    """The density of places some (m, Z) over that of places everybody (n, Z), at places `at` (k, Z): (k,), of mean 1.

    The odds of a logistic regression on the places and their products: exact for two Gaussians (Qin 1998, Biometrika
    85, 619).
    """
    classifier = make_pipeline(PolynomialFeatures(2), StandardScaler(), LogisticRegression(max_iter=200))
    classifier.fit(torch.cat([everybody, some]).cpu().numpy(), np.repeat([0, 1], [len(everybody), len(some)]))
    odds = classifier.decision_function(at.cpu().numpy())
    ratio = np.exp(odds - odds.max())
    return ratio / ratio.mean()


def as_observed(synth: Tensor, everybody: Tensor, paired: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Rows (count,) of synthetic stars at places synth (n, Z), drawn with replacement as observed ones are distributed.

    Observed stars are represented by the synthetic stars that were last paired with them, at places paired (m, Z),
    among all synthetic stars, at places everybody (k, Z). All are places of synthetic spectra, so that neither the gap
    nor a poor translation has a say.
    """
    weights = torch.from_numpy(density_ratio(synth, everybody, paired))
    return torch.multinomial(weights, count, replacement=True, generator=generator)
