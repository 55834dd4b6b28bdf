"""Which synthetic stars to train on, where their labels are not distributed as those of the observed ones.

Both ways choose rows from a larger set of synthetic stars: those that the discriminator finds most observed-like, or
some drawn at random such that the shared latents of both domains are distributed alike.
"""

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from torch import Tensor, nn

from cyclegan.spectra import Spectra
from cyclegan.translator import Translator

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

    synth (n, K), obs (m, K): coordinates. A translation needs a split latent: that of an observed star at random; and
    the noise of that star's errors, which the discriminator is used to.
    """
    device = synth.flux.device
    partners = torch.randint(len(obs.flux), (len(synth.flux),), generator=generator).to(device)
    _, split = translator.encoder_o(obs.flux)
    z, split = translator.encode_synth(synth.flux), split[partners]
    so = translator.generator_o(z, split)
    noise = torch.randn(so.shape, generator=generator).to(device) * translator.space_o.noise(obs)[partners]
    judged = discriminator(so + noise, torch.cat([z, split], dim=1))[:, 0]
    return judged.topk(count).indices.cpu()


def density_ratio(synth: Tensor, obs: Tensor) -> np.ndarray:
    """The density of latents obs (m, Z) over that of latents synth (n, Z), at each of the latter, (n,); mean 1.

    The odds of a logistic regression on the latents and their products: exact for two Gaussians (Qin 1998, Biometrika
    85, 619).
    """
    features = torch.cat([synth, obs]).cpu().numpy()
    classifier = make_pipeline(PolynomialFeatures(2), StandardScaler(), LogisticRegression(max_iter=200))
    classifier.fit(features, np.repeat([0, 1], [len(synth), len(obs)]))
    odds = classifier.decision_function(features[: len(synth)])
    ratio = np.exp(odds - odds.max())
    return ratio / ratio.mean()


def as_observed(synth: Tensor, obs: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Rows (count,) of the synthetic latents (n, Z), drawn with replacement as latents obs (m, Z) are distributed."""
    weights = torch.from_numpy(density_ratio(synth, obs))
    return torch.multinomial(weights, count, replacement=True, generator=generator)
