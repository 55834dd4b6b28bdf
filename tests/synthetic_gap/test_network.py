"""cyclegan/synthetic_gap/network.py: the network that reads labels off spectra."""

import torch

from cyclegan.synthetic_gap.network import FEWEST_PIXELS, StarNet


def test_the_network_has_the_shape_of_starnet():
    network = StarNet(7214, 4)
    assert network(torch.zeros(2, 7214)).shape == (2, 4)
    shapes = [tuple(weight.shape) for name, weight in network.named_parameters() if name.endswith("weight")]
    assert shapes == [(4, 1, 8), (16, 4, 8), (256, 16 * 1800), (128, 256), (4, 128)]


def test_it_takes_as_few_pixels_as_it_says():
    assert StarNet(FEWEST_PIXELS, 2)(torch.zeros(3, FEWEST_PIXELS)).shape == (3, 2)
