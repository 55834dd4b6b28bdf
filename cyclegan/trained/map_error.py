"""How wrong the map from synthetic to observed coordinates is, of all of a star's coordinates together.

Errors of pixels say nothing of what they have in common, and labels are fitted to what pixels have in common.
"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

NEIGHBOURS = 30  # known stars that are like a star: what translations get wrong of them, they get wrong of it
LIKE, OWN = 0.5, 0.25  # the weights of neighbours, and of a star's own members, who are few; all stars have the rest
KNOWN = 2000  # known stars that are kept
FLOOR = 1e-3  # of the members' mean variance: a coordinate in which they hardly differ is not blown up to an error


@dataclass(frozen=True)
class MapError:
    """The covariance of errors of translations, in coordinates.

    usual (K, K): a root of that of all stars, usual^T usual; own (K, K): differences of an ensemble's members @ this
    have, over all stars, that covariance. places (n, D): latents of known stars in units of spread (D,); missed (n, K):
    what their translations got wrong; none where no star is known in both domains.
    """

    usual: Tensor
    own: Tensor
    spread: Tensor
    places: Tensor
    missed: Tensor

    @classmethod
    def of(cls, each: Tensor, shared: Tensor, deviation: Tensor | None, noise: Tensor, factor: float) -> Self:
        """That of stars kept out of training.

        each (R, N, K): what members make of them; shared (N, D): their latents; deviation (N, K): translated minus
        observed, None where no star is known in both domains, and then errors are `factor` times the members' scatter;
        noise (N, 1): of observed coordinates.
        """
        centred = (each - each.mean(dim=0)).double()
        scatter = torch.einsum("rnk,rnl->kl", centred, centred) / ((len(each) - 1) * each.shape[1])
        spread = shared.std(dim=0).clamp_min(1e-12)
        if deviation is None:
            usual, own = factor * _root(scatter)[0].to(each), factor * torch.eye(len(scatter)).to(each)
            return cls(usual, own, spread, shared[:0], each[0, :0])
        off = deviation.double()
        true = off.T @ off / len(off) - noise.double().square().mean() * torch.eye(off.shape[1]).to(off)
        usual, _ = _root(true)
        root, inverse = _root(scatter + FLOOR * scatter.diagonal().mean() * torch.eye(len(scatter)).to(scatter))
        middle, _ = _root(root @ (usual @ usual) @ root)
        places, missed = (shared / spread)[:KNOWN], deviation[:KNOWN]
        return cls(usual.to(each), (inverse @ middle @ inverse).to(each), spread, places, missed)

    def roots(self, each: Tensor, shared: Tensor) -> Tensor:
        """Vectors (B, M, K) whose outer products add up to the covariance of the errors of B stars.

        each (R, B, K): what members make of them; shared (B, D): their latents.
        """
        count = min(NEIGHBOURS, len(self.places))
        like = LIKE if count else 0.0
        own = OWN if count else 0.5
        members = (each - each.mean(dim=0)).transpose(0, 1) @ self.own  # (B, R, K)
        parts = [
            (own / (len(each) - 1)) ** 0.5 * members,
            (1 - like - own) ** 0.5 * self.usual.expand(len(members), -1, -1),
        ]
        if count:
            near = torch.cdist(shared / self.spread, self.places).topk(count, largest=False).indices
            parts.append((like / count) ** 0.5 * self.missed[near])
        return torch.cat(parts, dim=1)

    def to_plain(self) -> dict[str, Tensor]:
        """As a `Record` holds it."""
        return {name: value.cpu() for name, value in vars(self).items()}

    @classmethod
    def from_plain(cls, plain: dict[str, Tensor], device: torch.device) -> Self:
        """What `to_plain` gave, on a device."""
        return cls(**{name: value.to(device) for name, value in plain.items()})


def _root(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """The symmetric root of a matrix (K, K), whose negative eigenvalues, which noise makes, count as 0; and its inverse
    where there is one.
    """
    values, vectors = torch.linalg.eigh(matrix)
    root = values.clamp_min(0).sqrt()
    inverse = torch.where(root > 0, 1 / root, 0.0)
    return (vectors * root) @ vectors.T, (vectors * inverse) @ vectors.T
