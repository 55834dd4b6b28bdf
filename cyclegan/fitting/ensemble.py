"""How uncertain fitted labels are because the map from labels to spectra is, as an ensemble of translators tells."""

import torch
from torch import Tensor

from cyclegan.fitting.forward import SpectrumModel
from cyclegan.trained.map_error import MapError
from cyclegan.translator.ensemble import MeanGenerator


def errors_of_map(model: SpectrumModel, known: MapError, parameters: Tensor) -> Tensor:
    """Coordinates (B, M, K) whose outer products add up to the covariance of the errors of the model at (B, n)."""
    generator = model.forward.translator.generator_o
    assert isinstance(generator, MeanGenerator)
    shared, split = model.latents(parameters)
    return known.roots(generator.each(shared, split), shared)


def moved_by(errors: Tensor, slopes: Tensor, curvature: Tensor) -> Tensor:
    """The covariance (B, n, n) of fitted parameters that errors of the model make, to first order.

    errors (B, M, R): of residuals, whose outer products add up to their covariance; slopes (B, n, R): of residuals;
    curvature (B, n, n): of half the sum of their squares.
    """
    step = torch.linalg.solve_ex(curvature, slopes.double() @ errors.double().transpose(1, 2))[0]  # (B, n, M)
    return step @ step.transpose(1, 2)
