"""What an observed spectrum is taken for: parameters of order 1 to flux."""

import torch
from torch import Tensor

from cyclegan.domains.line_profile import LineProfile
from cyclegan.fitting.target import Subspace
from cyclegan.spectra.chips import polynomials_of_all_chips
from cyclegan.spectra.spaces import Components
from cyclegan.trained.forward import ForwardModel
from emulator.labels import scale

TRANSLATOR, EMULATOR = "translator", "emulator"
TEMPLATES = 512  # stars of the population trained on, among which each fit looks for its starts
FARTHEST = 5.0  # sigma of the training stars' split latents, beyond which none is looked for
FASTEST = 15.0  # km/s: spectra come in their rest frame, and velocities are what is left
CONTINUUM_STEP = 0.01  # of the continuum: the scale of its terms
DRAWS = 2048  # stars of the emulator's whole range, which tell in which directions its spectra vary
LEAST = 1e-4  # of flux, all pixels together: in such a direction no spectrum says anything


class SpectrumModel:
    """What an observed spectrum is taken for: parameters (B, n) of order 1 -> flux (B, P).

    They are the labels, over the emulator's range; the split latents, in sigma of the training stars', which are
    expected at their mean to 1 sigma (through the translator only); the radial velocity, in km/s; and coefficients of a
    Chebyshev polynomial of some degree on each chip, by which the flux is multiplied.
    """

    def __init__(
        self, forward: ForwardModel, through: str, velocity: bool = False, continuum: int | None = None
    ) -> None:
        self.forward, self.through = forward, through
        emulator, device = forward.emulator, forward.device
        self.split_mean = self.split_scale = torch.empty(0, device=device)
        if through == TRANSLATOR and forward.split_sample.shape[1]:
            self.split_mean, self.split_scale = forward.mean_split()[0], forward.split_sample.std(dim=0)
        self.profile = LineProfile(forward.wavelength, velocity=FASTEST / 6) if velocity else None
        self.polynomials = torch.empty(0, len(forward.wavelength), device=device)
        if continuum is not None:
            self.polynomials = polynomials_of_all_chips(forward.wavelength, continuum).to(device)
        self.sizes = [len(emulator.label_names), len(self.split_mean), int(velocity), len(self.polynomials)]
        reach = [0.5, FARTHEST, FASTEST, 1 / CONTINUUM_STEP]
        self.high = torch.cat([torch.full((size,), far) for size, far in zip(self.sizes, reach, strict=True)])
        self.high = self.high.to(device)
        self.low = -self.high
        self.width = emulator.label_high - emulator.label_low
        self.middle = (emulator.label_high + emulator.label_low) / 2
        self.offset = self.layer = None
        self.subspace: Subspace | None = None
        fixed = not velocity and continuum is None
        if through == TRANSLATOR and fixed and isinstance(space := forward.translator.space_o, Components):
            self.subspace = Subspace(space.mean, (space.basis / space.weight[:, None]).T.contiguous())
        # A continuum after the emulator's last layer is not linear; without it this layer is a smaller one.
        if forward.continuum is None:
            if through == TRANSLATOR:
                self.offset, self.layer = self._last_layer()
            elif fixed:
                self.offset, self.layer, self.subspace = self._last_layer_alone()

    def _every_unit(self) -> tuple[Tensor, Tensor]:
        """The emulator's flux where all its last units are 0, (P,), and what each of them adds, (units, P)."""
        forward = self.forward
        units = torch.eye(forward.emulator.output.in_features, device=forward.device)
        nothing, every = (forward.hide(forward.emulator.output(some)) for some in (torch.zeros_like(units[:1]), units))
        return nothing[0], every - nothing

    def _last_layer(self) -> tuple[Tensor, Tensor]:
        """The emulator's last layer and the projection after it as one, (K,) and (units, K)."""
        nothing, every = self._every_unit()
        space = self.forward.translator.space_s
        offset = space.coordinates(nothing[None])[0]
        return offset, space.coordinates(nothing + every) - offset

    def _last_layer_alone(self) -> tuple[Tensor, Tensor, Subspace]:
        """The emulator's last layer in the directions in which its spectra vary over its range, and where these lie."""
        nothing, every = self._every_unit()
        left, sizes, right = torch.linalg.svd(every, full_matrices=False)
        draws = torch.rand(DRAWS, self.sizes[0], generator=torch.Generator().manual_seed(0)) - 0.5
        places = self.forward.emulator.hidden(draws.to(nothing)) @ (left * sizes)
        middle = places.mean(dim=0)
        spread, turn = torch.linalg.svd(places - middle, full_matrices=False)[1:]
        turn = turn[spread > LEAST * DRAWS**0.5]
        return -turn @ middle, (left * sizes) @ turn.T, Subspace(nothing + middle @ right, turn @ right)

    def parts(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Labels (B, L), split latents (B, Zp), velocities (B, 0 or 1) and polynomials' coefficients (B, C)."""
        labels, split, velocity, terms = parameters.split(self.sizes, dim=1)
        split = self.split_mean + self.split_scale * split
        return self.middle + self.width * labels, split, velocity, CONTINUUM_STEP * terms

    def parameters(self, labels: Tensor, split: Tensor, velocity: Tensor, terms: Tensor) -> Tensor:
        """The inverse of `parts`, (B, n); velocity (B,)."""
        scaled = (labels - self.middle) / self.width, (split - self.split_mean) / self.split_scale
        return torch.cat([*scaled, velocity[:, None][:, : self.sizes[2]], terms / CONTINUUM_STEP], dim=1)

    def fitted(self, parameters: Tensor) -> Tensor:
        """What is fitted at parameters (B, n): coordinates (B, K) in the model's subspace, or flux (B, P)."""
        if self.subspace is None:
            return self(parameters)
        return self.theory(parameters) if self.through == EMULATOR else self.coordinates(parameters)

    def coordinates(self, parameters: Tensor) -> Tensor:
        """The coordinates (B, K) in the observed domain's space, through the translator."""
        return self.forward.translator.generator_o(*self.latents(parameters))

    def latents(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Shared (B, Zs) and split (B, Zp) latents, through the translator."""
        return self.forward.translator.encode_synth(self.theory(parameters)), self.parts(parameters)[1]

    def theory(self, parameters: Tensor) -> Tensor:
        """What the emulator has for parameters (B, n), (B, K): coordinates that the translator sees, or its own."""
        labels, emulator = self.parts(parameters)[0], self.forward.emulator
        if self.layer is None or self.offset is None:
            return self.forward.translator.space_s.coordinates(self.forward.synthetic(labels))
        return self.offset + emulator.hidden(scale(labels, emulator.label_low, emulator.label_high)) @ self.layer

    def __call__(self, parameters: Tensor) -> Tensor:
        """Flux (B, P) at parameters (B, n)."""
        labels, _, velocity, terms = self.parts(parameters)
        if self.through == TRANSLATOR:
            flux = self.forward.translator.space_o.restore(self.coordinates(parameters))
        else:
            flux = self.forward.synthetic(labels)
        if self.profile is not None:
            flux = self.profile.convolve(flux, torch.zeros_like(velocity), velocity)
        return flux * (1 + terms @ self.polynomials) if terms.shape[1] else flux

    def prior(self, parameters: Tensor) -> Tensor:
        """Residuals (B, Zp) of what is expected of split latents before a spectrum is seen."""
        return parameters.split(self.sizes, dim=1)[1]

    def templates(self, seed: int) -> Tensor:
        """Parameters (TEMPLATES, n) of stars of the population trained on, all else as in a typical star."""
        generator = torch.Generator().manual_seed(seed)
        labels = self.forward.population.sample(self.forward.emulator, TEMPLATES, generator)
        scaled = (labels.to(self.forward.device) - self.middle) / self.width
        return torch.nn.functional.pad(scaled, (0, sum(self.sizes[1:])))
