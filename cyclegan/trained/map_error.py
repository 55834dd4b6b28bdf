"""How wrong the map from synthetic to observed coordinates is, of all of a star's coordinates together.

Errors of pixels say nothing of what they have in common, and labels are fitted to what pixels have in common.
"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

OWN = (
    0.5  # the weight of a star's own few members: they tell its covariance badly, and that of all stars is not its own
)
FLOOR = 1e-3  # of the members' mean variance: a coordinate in which they hardly differ is not blown up to an error


@dataclass(frozen=True)
class MapError:
    """The covariance of errors of translations, in coordinates.

    usual (K, K): a root of that of all stars, usual^T usual; own (K, K): differences of an ensemble's members @ this
    have, over all stars, that covariance.
    """

    usual: Tensor
    own: Tensor

    @classmethod
    def of(cls, each: Tensor, deviation: Tensor | None, noise: Tensor, factor: float) -> Self:
        """That of stars kept out of training.

        each (R, N, K): what members make of them; deviation (N, K): translated minus observed, None where no star is
        known in both domains, and then errors are `factor` times the members' scatter; noise (N, 1): of observed ones.
        """
        centred = (each - each.mean(dim=0)).double()
        scatter = torch.einsum("rnk,rnl->kl", centred, centred) / ((len(each) - 1) * each.shape[1])
        if deviation is None:
            return cls(factor * _root(scatter)[0].to(each), factor * torch.eye(len(scatter)).to(each))
        off = deviation.double()
        true = off.T @ off / len(off) - noise.double().square().mean() * torch.eye(off.shape[1]).to(off)
        usual, _ = _root(true)
        root, inverse = _root(scatter + FLOOR * scatter.diagonal().mean() * torch.eye(len(scatter)).to(scatter))
        middle, _ = _root(root @ (usual @ usual) @ root)
        return cls(usual.to(each), (inverse @ middle @ inverse).to(each))

    def roots(self, each: Tensor) -> Tensor:
        """Vectors (B, M, K) whose outer products add up to the covariance of B stars' errors; each (R, B, K)."""
        centred = (each - each.mean(dim=0)).transpose(0, 1) @ self.own  # (B, R, K)
        own = (OWN / (len(each) - 1)) ** 0.5 * centred
        return torch.cat([own, (1 - OWN) ** 0.5 * self.usual.expand(len(own), -1, -1)], dim=1)

    def to_plain(self) -> dict[str, Tensor]:
        """As a `Record` holds it."""
        return {"usual": self.usual.cpu(), "own": self.own.cpu()}

    @classmethod
    def from_plain(cls, plain: dict[str, Tensor], device: torch.device) -> Self:
        """What `to_plain` gave, on a device."""
        return cls(plain["usual"].to(device), plain["own"].to(device))


def _root(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """The symmetric root of a matrix (K, K), whose negative eigenvalues, which noise makes, count as 0; and its inverse
    where there is one.
    """
    values, vectors = torch.linalg.eigh(matrix)
    root = values.clamp_min(0).sqrt()
    inverse = torch.where(root > 0, 1 / root, 0.0)
    return (vectors * root) @ vectors.T, (vectors * inverse) @ vectors.T
