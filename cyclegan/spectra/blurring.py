"""Spectra in which the shapes of lines are blurred."""

import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from cyclegan.spectra.spectra import Spectra

AT_A_TIME = 1000  # spectra: of each there are five copies meanwhile


def blurred(spectra: Spectra, width: float) -> Spectra:
    """Spectra (N, P) with flux as a Gaussian of `width` pixels, 1 sigma, sees it: the mean over usable ones nearby.

    What is masked stays so, and errors are those of the pixels as they were. Nearby is as pixels are numbered: at the
    end of a detector a few of them see the next one's, in both domains alike.
    """
    return spectra._replace(flux=torch.cat([_blurred(some, width) for some in spectra.chunks(AT_A_TIME)]))


def _blurred(spectra: Spectra, width: float) -> Tensor:
    parts = (torch.where(spectra.mask, spectra.flux, 0.0), spectra.mask.to(spectra.flux))
    total, weight = (torch.from_numpy(gaussian_filter1d(part.numpy(), width, mode="nearest")) for part in parts)
    return torch.where(spectra.mask, total / weight, spectra.flux)
