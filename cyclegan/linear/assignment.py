"""A linear map from pairs that are found in a metric which knows nothing of the gap."""

import torch
from torch import Tensor

from cyclegan.linear.maps import LinearMaps, ridge_maps
from cyclegan.pairing.transport import transport_pairs

ASSIGNED = 4000  # stars of a set at most: a second


def assignment_maps(synth: Tensor, obs: Tensor, seed: int) -> LinearMaps:
    """Ridges on pairs of stars, coordinates (n, K) and (m, K), that are nearest as they are, each with one other.

    What pairs come to in a metric that knows nothing of the gap. Of larger sets ASSIGNED stars are paired.
    """
    synth, obs = (side[:: -(-len(side) // ASSIGNED)] for side in (synth, obs))
    pairs = transport_pairs(synth, obs, 1.0, torch.Generator().manual_seed(seed))
    return ridge_maps(synth[pairs.synth], obs[pairs.obs])
