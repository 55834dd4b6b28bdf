"""cyclegan/fitting/ensemble.py: what errors of the map do to fitted parameters."""

import torch

from cyclegan.fitting.ensemble import moved_by


def test_parameters_scatter_as_many_draws_of_the_error_make_them():
    draws = torch.Generator().manual_seed(0)
    slopes = torch.randn(1, 2, 30, generator=draws)
    errors = 0.3 * torch.randn(1, 5, 30, generator=draws)
    curvature = (slopes @ slopes.transpose(1, 2)).double()
    wrong = torch.randn(20000, 5, generator=draws) @ errors[0]
    fitted = torch.linalg.lstsq(slopes[0].T, wrong.T).solution
    found = moved_by(errors, slopes, curvature)[0]
    torch.testing.assert_close(found.float(), torch.cov(fitted), rtol=0.05, atol=1e-3)
