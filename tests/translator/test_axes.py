"""cyclegan/translator/axes.py: axes that do not depend on how latents are mixed."""

import torch

from cyclegan.translator.axes import standard_axes


def mixed_factors():
    """Three uncorrelated factors of unit variance, (500, 3), what each moves spectra by, strongest first, (3, 9)."""
    torch.manual_seed(0)
    draws = torch.randn(500, 3)
    factors = torch.linalg.qr(draws - draws.mean(dim=0)).Q * 499**0.5
    moves = torch.linalg.qr(torch.randn(9, 3)).Q.T * torch.tensor([[30.0], [5.0], [1.0]])
    return factors, moves * moves.pow(3).sum(dim=1, keepdim=True).sign()


def test_standard_axes_are_what_moves_spectra_most_whatever_the_latents_are_mixed_of():
    factors, moves = mixed_factors()
    spectra = 4 + factors @ moves
    torch.manual_seed(1)
    for _ in range(5):
        latents = factors @ torch.randn(3, 3) + torch.randn(3)
        centre, axes = standard_axes(latents, spectra)
        torch.testing.assert_close((latents - centre) @ axes, factors, rtol=0, atol=1e-3)


def test_no_axes_where_latents_do_not_vary_or_are_no_numbers():
    factors, moves = mixed_factors()
    spectra = factors @ moves
    assert standard_axes(factors @ torch.diag(torch.tensor([1.0, 0.01, 1.0])), spectra) is not None
    still, repeated, rounding = factors * torch.tensor([1.0, 0.0, 1.0]), factors[:, [0, 1, 1]], 1e-8 * factors[:, :1]
    for latents in (still, repeated, rounding, factors * float("nan"), factors[:, :0]):
        assert standard_axes(latents, spectra) is None
    assert standard_axes(factors, spectra * float("inf")) is None
    _, axes = standard_axes(factors, torch.ones(500, 9))  # they move nothing, but are latents
    torch.testing.assert_close(axes @ axes.T, torch.eye(3), rtol=0, atol=1e-5)
