"""A trained translator in use, from flux to flux."""

import math
from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

from cyclegan.linear.maps import Controls, controls
from cyclegan.spectra.spectra import Spectra
from cyclegan.trained.arrays import Values, as_array, as_tensor, draw_rows, label_rows
from cyclegan.trained.checkpoint import Checkpoint, translator_of
from cyclegan.trained.forward import ForwardModel, mean_of, sampled
from cyclegan.trained.given import Given, take
from cyclegan.trained.map_error import MapError
from cyclegan.trained.translated import DIRECTIONS, OBS_TO_SYNTH, SYNTH_TO_OBS, Translated
from cyclegan.trained.uncertainty import MAP, Uncertainty, members_scatter, noise_of_input, unknown_split
from emulator.commands.errors import InputError, refusing
from emulator.payne import Payne

Flux = TypeVar("Flux")  # whatever kind of spectra
BATCH = 256  # spectra at a time: larger batches leave the processor's caches


class TrainedModel:
    """A trained translator, from flux to flux; `load` makes one.

    What comes out is of the kind that went in, in float32: tensors, where those lie, for tensors, with gradients to
    flux and to labels; NumPy arrays for arrays and lists; specutils' Spectrum for a Spectrum, or a list of them.

    flux (B, P) is normalised to a continuum of 1. A pixel of it counts if it is finite; where error (B, P), 1 sigma, is
    given, if that is above 0 and at most the run's domains.worst_error; and where mask (B, P) is given, if that is
    True. The others have no pull on the result, which is defined in all pixels. A star of which none counts becomes
    NaN.

    A Spectrum of one or more stars brings its own error and mask, True = bad. It may lie on other wavelengths, as
    frequencies too, in vacuum or, by `medium`, in air: it is put into the rest frame that its radial_velocity or
    redshift gives, and onto the model's pixels. What comes out is on these, in vacuum, with its meta and mask, and with
    the error of the translation, of an ensemble, or else its own. In place of latents, errors and labels are arrays.

    Attributes:
        wavelength: (P,), vacuum Angstrom, of every spectrum that goes in or comes out.
        label_names: what `from_labels` takes, none where no emulator of the synthetic domain is known.
        split_sample: (n, Zp), split latents of training stars.
        record: what the checkpoint stands on.
        step: how many batches it was trained on.
        translator: the networks, in evaluation mode.
        errors: of an ensemble, by direction, what its members' scatter means.
        map_error: of an ensemble, how wrong its map to observed coordinates is; None of others.
    """

    def __init__(
        self, checkpoint: Checkpoint, where: str, device: torch.device | str = "cpu", brought: Payne | None = None
    ) -> None:
        record = self.record = checkpoint.record
        self.step, self.where = checkpoint.step, where
        self.translator = translator_of(checkpoint, where).to(device).eval().requires_grad_(False)
        self.wavelength = record.wavelength.to(device)
        self.device = self.wavelength.device
        self.hidden = {name: mask.to(device) for name, mask in record.hidden.items()}
        self.split_sample = record.split_sample().to(device)
        told = record.errors
        with refusing(f"{where}: expected how wrong an ensemble may be", "something else"):
            self.errors = {name: Uncertainty.from_plain(told[name], self.device) for name in DIRECTIONS if name in told}
            self.map_error = MapError.from_plain(told[MAP], self.device) if MAP in told else None
        self._continuum = record.continuum_of_theory()
        emulator = record.emulator_of(where)
        self.emulator = None if emulator is None else emulator.to(device).requires_grad_(False)
        domains = record.domains
        self.observed_emulated, self.worst_error = domains.obs.path is None, domains.worst_error
        self._theory = self.emulator if domains.synth.path is None else brought
        self.label_names = () if self._theory is None else self._theory.label_names

    @property
    def controls(self) -> Controls:
        """Translations of this run's stars without networks; of version 0.2, the mean shift alone."""
        return self.record.controls or controls(self.translator.space_o.mean - self.translator.space_s.mean, {})

    @property
    def forward_model(self) -> ForwardModel:
        """Labels to spectra of both domains.

        Raises:
            InputError: where no emulator of the synthetic domain is known.
        """
        if self._theory is None:
            raise InputError(
                f"{self.where}: expected a run whose synthetic domain is emulated, or an emulator of it, got neither"
            )
        hidden = self.hidden.get("synth")
        population, split = self.record.population_of_theory(), self.split_sample
        return ForwardModel(self._theory, population, self.translator, hidden, self._continuum, split, self.where)

    def synth_to_obs(
        self,
        flux: Flux,
        error: Values | None = None,
        mask: Values | None = None,
        split: Values | None = None,
        medium: str | None = None,
    ) -> Flux:
        """Synthetic spectra as the telescope would see them, without noise.

        Args:
            flux: (B, P).
            error: (B, P), 1 sigma.
            mask: (B, P), True = usable.
            split: (B, Zp), or (1, Zp) for all: what only observed spectra have; by default the mean of training stars.
            medium: of a Spectrum's wavelengths: vacuum, or air; by default what its FITS header says, and else vacuum.

        Returns:
            Flux (B, P).

        Raises:
            InputError: for other shapes, a mask that is not of True and False, and flux not over a continuum of 1.
        """
        return self._translated(SYNTH_TO_OBS, self._given(flux, error, mask, medium), split)

    def obs_to_synth(
        self, flux: Flux, error: Values | None = None, mask: Values | None = None, medium: str | None = None
    ) -> Flux:
        """Observed spectra as theory would have them.

        Args:
            flux: (B, P).
            error: (B, P), 1 sigma.
            mask: (B, P), True = usable.
            medium: as of `synth_to_obs`.

        Returns:
            Flux (B, P).

        Raises:
            InputError: for other shapes, a mask that is not of True and False, and flux not over a continuum of 1.
        """
        return self._translated(OBS_TO_SYNTH, self._given(flux, error, mask, medium))

    def encode_synth(
        self, flux: Any, error: Values | None = None, mask: Values | None = None, medium: str | None = None
    ) -> Any:
        """The shared latents of synthetic spectra.

        Args:
            flux: (B, P).
            error: (B, P), 1 sigma.
            mask: (B, P), True = usable.
            medium: as of `synth_to_obs`.

        Returns:
            Shared latents (B, Zs).

        Raises:
            InputError: for other shapes, a mask that is not of True and False, and flux not over a continuum of 1.
        """
        unused = self.split_sample.new_zeros(1, self.split_sample.shape[1])
        given = self._given(flux, error, mask, medium)
        return given.numbers(self._in_batches(SYNTH_TO_OBS, given, unused).shared)

    def encode_obs(
        self, flux: Any, error: Values | None = None, mask: Values | None = None, medium: str | None = None
    ) -> tuple[Any, Any]:
        """The latents of observed spectra.

        Args:
            flux: (B, P).
            error: (B, P), 1 sigma.
            mask: (B, P), True = usable.
            medium: as of `synth_to_obs`.

        Returns:
            Shared latents (B, Zs) and split latents (B, Zp).

        Raises:
            InputError: for other shapes, a mask that is not of True and False, and flux not over a continuum of 1.
        """
        given = self._given(flux, error, mask, medium)
        found = self._in_batches(OBS_TO_SYNTH, given)
        return given.numbers(found.shared), given.numbers(found.split)

    def from_labels(self, labels: Mapping[str, Values] | Values, split: Values | None = None) -> Any:
        """Stars as the telescope would see them, without noise.

        Args:
            labels: as `synthesize` takes them.
            split: (B, Zp), or (1, Zp) for all: what only observed spectra have; by default the mean of training stars.

        Returns:
            Flux (B, P).

        Raises:
            InputError: for labels that the emulator does not take, other shapes, and a run without an emulator.
        """
        return self.synth_to_obs(self.synthesize(labels), split=split)

    def synthesize(self, labels: Mapping[str, Values] | Values) -> Any:
        """Stars as synthetic spectra, which lack the lines that the run's synthetic domain was made to lack.

        Args:
            labels: (B, L) in the order of label_names, or by name each label's value, or values (B,), in its own unit.

        Returns:
            Flux (B, P), a tensor where any label is one.

        Raises:
            InputError: for other names, values outside the emulator's range, and a run without an emulator.
        """
        model = self.forward_model
        values = label_rows(labels, model.label_names)
        model.emulator.check_labels(values)
        flux = model.synthetic(values.to(self.device)).to(values.device)
        told = labels.values() if isinstance(labels, Mapping) else [labels]
        return flux if any(isinstance(label, Tensor) for label in told) else as_array(flux)

    def mean_split(self) -> Tensor:
        """The mean split latent of training stars.

        Returns:
            (1, Zp).

        Raises:
            InputError: where no training star's is known, as before the first validation.
        """
        return mean_of(self.split_sample, self.where)

    def draw_split(self, stars: int, seed: int) -> Tensor:
        """Split latents as training stars have them.

        Args:
            stars: how many are drawn, with replacement.
            seed: of the draw.

        Returns:
            (stars, Zp).

        Raises:
            InputError: where no training star's is known, as before the first validation.
        """
        return draw_rows(sampled(self.split_sample, self.where), stars, seed)

    def _given(self, flux: Any, error: Values | None, mask: Values | None, medium: str | None) -> Given:
        return take(flux, error, mask, medium, self.wavelength, self.worst_error)

    def _translated(self, direction: str, given: Given, split: Values | None = None) -> Any:
        errors = given.brings_errors and bool(self.errors)
        return given.translated(self._in_batches(direction, given, split, errors))

    def _in_batches(
        self, direction: str, given: Given, split: Values | None = None, errors: bool = False
    ) -> Translated:
        spectra = given.spectra
        if errors:
            spectra = spectra._replace(error=torch.zeros_like(spectra.flux) if given.noise is None else given.noise)
        stars, home, known = len(spectra.flux), spectra.flux.device, split is not None
        split = self.mean_split() if split is None and direction == SYNTH_TO_OBS else split
        if split is not None:
            split, width = as_tensor(split, "split"), self.split_sample.shape[1]
            if split.shape not in ((stars, width), (1, width)):
                raise InputError(f"split: expected shape {(stars, width)} (stars, Zp), got {tuple(split.shape)}")
            split = split.to(self.device).expand(stars, -1)
        parts = []
        for first in range(0, stars, BATCH):
            rows = slice(first, first + BATCH)
            seen = self.seen(direction, spectra.rows(rows).to(self.device))
            part = self.translate_seen(direction, seen, None if split is None else split[rows])
            if errors:
                part = part._replace(error=self.error_of(direction, seen, part, known))
            parts.append([tensor.to(home) for tensor in part if tensor is not None])
        return Translated(*map(torch.cat, zip(*parts, strict=True)))

    def uncertainty(
        self,
        direction: str,
        flux: Any,
        error: Values | None = None,
        mask: Values | None = None,
        split: Values | None = None,
        medium: str | None = None,
    ) -> Any:
        """How wrong the translation of each pixel may be: what the networks do not know, and what noise does to it.

        Args:
            direction: "synth_to_obs" or "obs_to_synth".
            flux: (B, P), as it is translated.
            error: (B, P), 1 sigma, of observed flux, without which it counts as noiseless.
            mask: (B, P), True = usable.
            split: (B, Zp), as given to `synth_to_obs`; without it what split latents may be is part of the error.
            medium: as of `synth_to_obs`.

        Returns:
            Errors (B, P), 1 sigma.

        Raises:
            InputError: as `synth_to_obs` does, and for a run that is no finished ensemble.
        """
        if not self.errors:
            raise InputError(f"{self.where}: expected a finished run of ensemble=N, whose members tell, got another")
        given = self._given(flux, error, mask, medium)
        found = self._in_batches(direction, given, split, errors=True).error
        assert found is not None
        return given.numbers(found)

    def error_of(self, direction: str, seen: Spectra, translated: Translated, known_split: bool) -> Tensor:
        """The errors (B, P) of a translation, given what `seen` gave; known_split: whether split latents are known."""
        t, (_, shared, split, _) = self.translator, translated
        variance = self.errors[direction].of_networks(members_scatter(t, direction, shared, split)).square()
        if direction == OBS_TO_SYNTH:
            variance = variance + noise_of_input(t, seen).square()
        elif not known_split and self.split_sample.shape[1]:
            variance = variance + unknown_split(t, shared, self.split_sample).square()
        return variance.sqrt()

    def translate(self, direction: str, spectra: Spectra, split: Tensor | None = None) -> Translated:
        """Translate one batch that lies on the translator's device.

        How large errors are makes no difference, only which pixels the mask leaves: one for each star, (B, 1), will do.

        Args:
            direction: SYNTH_TO_OBS or OBS_TO_SYNTH.
            spectra: (B, P).
            split: (B, Zp), needed for SYNTH_TO_OBS alone.

        Returns:
            The spectra of the other domain, and the latents between.
        """
        return self.translate_seen(direction, self.seen(direction, spectra), split)

    def seen(self, direction: str, spectra: Spectra) -> Spectra:
        """One batch (B, P) as the networks see it, (B, K); NaN where no pixel of a star counts."""
        space = self.translator.space_s if direction == SYNTH_TO_OBS else self.translator.space_o
        blind = spectra.mask.view(torch.uint8).amax(dim=1, keepdim=True) == 0  # (B, 1); `any` is slower
        coordinates = space.project(spectra)
        return coordinates._replace(flux=coordinates.flux.masked_fill(blind, math.nan))

    def translate_seen(self, direction: str, seen: Spectra, split: Tensor | None = None) -> Translated:
        """`translate`, given what `seen` gave."""
        t = self.translator
        if direction == SYNTH_TO_OBS:
            if split is None:
                raise ValueError("split latents are needed to translate synthetic spectra")
            shared = t.encode_synth(seen.flux)
            return Translated(t.space_o.restore(t.generator_o(shared, split)), shared, split)
        shared, own = t.encoder_o(seen.flux)
        return Translated(t.space_s.restore(t.generate_synth(shared)), shared, own)
