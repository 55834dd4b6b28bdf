"""What the shared latents are: how far each moves spectra, whether domains agree on it, and which labels it follows."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cyclegan.scores.scores import variable_differences
from cyclegan.translator.translator import Translator

KNOWN = 0.5  # of the stars have to have a label that is asked for


class Latents(NamedTuple):
    """Of each of Z shared variables, arrays of (Z,).

    effect: how far one standard deviation moves a spectrum, all pixels taken together in units of their noise;
    difference: of the variable of the same star in both domains, as a share of its range; None where no star is known
    in both; follows: by domain, partial correlations (L, Z) with the labels, whose names are there.
    """

    effect: np.ndarray
    difference: np.ndarray | None
    follows: dict[str, np.ndarray]
    labels: list[str]

    def rows(self) -> list[dict[str, float | str | None]]:
        """A row for each variable: its number from 1, effect, difference, and in each domain what it follows most."""
        found = []
        for i, effect in enumerate(self.effect):
            row: dict[str, float | str | None] = {"latent": i + 1, "effect": float(effect)}
            row["difference"] = None if self.difference is None else float(self.difference[i])
            for domain, correlations in self.follows.items():
                best = int(np.nan_to_num(np.abs(correlations[:, i])).argmax())
                told = bool(np.isfinite(correlations[best, i]))
                row[domain] = self.labels[best] if told else None
                row[f"{domain}_correlation"] = float(correlations[best, i]) if told else None
            found.append(row)
        return found


@torch.no_grad()
def examine_latents(
    translator: Translator, z_s: Tensor, z_o: Tensor, labels: Mapping[str, np.ndarray], matched: bool
) -> Latents:
    """Look at shared latents z_s (N, Z), z_o (N, Z) of dense networks, and labels (N,), NaN where unknown.

    Labels are the observed stars', and, where they are matched, the synthetic ones' too.
    """
    z = torch.cat([z_s, z_o])
    moved = translator.generate_synth(z)
    z, moved = (x.double() - x.double().mean(dim=0) for x in (z, moved))
    effect = (torch.linalg.pinv(z) @ moved).norm(dim=1) * z.std(dim=0)
    difference = variable_differences(z_s, z_o, [z_s, z_o]).numpy() if matched else None
    domains = {"synthetic": z_s, "observed": z_o} if matched else {"observed": z_o}
    follows = {}
    if labels:
        values = np.stack(list(labels.values()), axis=1).astype(float)
        follows = {name: partial_correlations(values, own.double().numpy()) for name, own in domains.items()}
    return Latents(effect.numpy(), difference, follows, list(labels))


def partial_correlations(labels: np.ndarray, latents: np.ndarray) -> np.ndarray:
    """Correlation (L, Z) of each label (N, L) with each latent (N, Z), all other labels held fixed.

    Abundances rise and fall together; this tells whose own. From the inverse of the correlation matrix (Whittaker 1990,
    Graphical Models), over stars that have all of the labels that most stars have; NaN for other labels, and those that
    do not vary.
    """
    correlations = np.full((labels.shape[1], latents.shape[1]), np.nan)
    asked = np.isfinite(labels).mean(axis=0) >= KNOWN
    known = np.isfinite(labels[:, asked]).all(axis=1)
    if known.sum() <= asked.sum() + 2:
        return correlations
    asked &= np.ptp(labels[known], axis=0) > 0
    if not asked.any():
        return correlations
    labels, latents = labels[np.ix_(known, asked)], latents[known]
    for i, latent in enumerate(latents.T):
        if np.ptp(latent) > 0:
            precision = np.linalg.pinv(np.corrcoef(np.column_stack([labels, latent]).T))
            own = np.diag(precision)
            correlations[asked, i] = -precision[:-1, -1] / np.sqrt(own[:-1] * own[-1])
    return correlations
