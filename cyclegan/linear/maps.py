"""Linear maps between the coordinates of two domains, and what they make of spectra."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from cyclegan.spectra.spaces import Components, Space, projected_on
from cyclegan.spectra.spectra import Spectra

RIDGE = 100.0  # of the noise's variance in a coordinate: a direction in which stars differ less is not believed


class LinearMaps(NamedTuple):
    """x_o = x_s @ forward + forward_shift and x_s = x_o @ back + back_shift, for coordinates (n, K), rows are stars."""

    forward: Tensor
    forward_shift: Tensor
    back: Tensor
    back_shift: Tensor

    def to_plain(self) -> dict[str, Tensor]:
        """The parts by name, on the CPU, as a checkpoint holds them."""
        return {name: part.cpu() for name, part in self._asdict().items()}


def ridge_maps(synth: Tensor, obs: Tensor) -> LinearMaps:
    """Ridge regressions of partners (n, K) on each other (Hoerl & Kennard 1970)."""
    return LinearMaps(*_ridge(synth, obs), *_ridge(obs, synth))


def _ridge(known: Tensor, unknown: Tensor) -> tuple[Tensor, Tensor]:
    centre, mean = known.mean(dim=0), unknown.mean(dim=0)
    normal = ((known - centre).T @ (known - centre)).double()
    normal.diagonal().add_(RIDGE)
    matrix = torch.linalg.solve(normal, ((known - centre).T @ (unknown - mean)).double()).to(known)
    return matrix, mean - centre @ matrix


# Translations without networks by their names in scores.json: a shift of the mean, and linear maps.
LINEAR = {
    "shift": "mean shift",
    "transport": "Gaussian transport",
    "assignment": "assignment",
    "ridge": "ridge on pairs",
}
Controls = Mapping[str, Mapping[str, Tensor]]  # by name; what a checkpoint holds of each


def controls(shift: Tensor, maps: Mapping[str, LinearMaps]) -> dict[str, dict[str, Tensor]]:
    """Translations without networks: by adding shift (P,), the difference of the mean spectra, and by maps."""
    return {"shift": {"flux": shift.cpu()}} | {name: one.to_plain() for name, one in maps.items()}


def translations(
    found: Controls, spaces: tuple[Space, Space], synth: Spectra, obs: Spectra
) -> dict[str, tuple[Tensor, Tensor]]:
    """What each control makes of synth (N, P) and of obs (N, P): flux as observed, and as synthetic, (N, P)."""
    space_s, space_o = spaces
    made = {}
    for name, parts in found.items():
        if name == "shift":
            made[name] = synth.flux + parts["flux"], obs.flux - parts["flux"]
        elif isinstance(space_s, Components) and isinstance(space_o, Components):
            maps = LinearMaps(**parts)
            forward = projected_on(space_s, synth).flux @ maps.forward + maps.forward_shift
            back = projected_on(space_o, obs).flux @ maps.back + maps.back_shift
            made[name] = space_o.restore(forward), space_s.restore(back)
    return made
