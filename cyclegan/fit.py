"""python -m cyclegan.fit checkpoint=RUN input=FILE.h5: stellar labels of observed spectra.

Labels -> emulator -> synthetic spectrum -> observed spectrum, fitted to each star by weighted least squares; and, for
comparison, through the emulator alone, as if theory were right.
"""

import csv
import json
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import h5py
import hydra
import numpy as np
import torch
from numpy.polynomial.chebyshev import chebvander
from omegaconf import DictConfig
from torch import Tensor
from tqdm import tqdm

from cyclegan.checkpoint import find_checkpoint
from cyclegan.domains import draw_stars
from cyclegan.effects import LineProfile, chips
from cyclegan.fit_figures import plot_fitted, plot_pulls, plot_residuals
from cyclegan.fitting import Solution, least_squares
from cyclegan.spectra import Components, Spectra
from cyclegan.sweep import format_table
from cyclegan.transfer import DEVICES, FileSource, Transfer, load
from emulator.command import InputError, config_folder, errors_in_one_line, run, validate, written_together
from emulator.labels import scale

log = logging.getLogger(__name__)

TRANSLATOR, EMULATOR = "translator", "emulator"
TEMPLATES = 512  # stars drawn from the emulator's range, among which each fit looks for its starts
FARTHEST = 5.0  # sigma of the training stars' split latents, beyond which none is looked for
FASTEST = 15.0  # km/s: spectra come in their rest frame, and velocities are what is left
UNIFORM = 12.0  # 1 / variance of a label of which the spectrum says nothing, but that it is in the emulator's range
CONTINUUM_STEP = 0.01  # of the continuum: the scale of its terms


@dataclass
class FitConfig:
    checkpoint: str
    input: str
    emulator: str | None
    split: str | None
    known: str | None
    starts: int = field(metadata={"minimum": 1, "maximum": TEMPLATES})
    velocity: bool
    continuum: int | None = field(metadata={"minimum": 0})
    seed: int = field(metadata={"minimum": 0})
    batch_size: int = field(metadata={"minimum": 1})
    wavelength: str | None
    device: str = field(metadata={"choices": DEVICES})
    output: str | None


class Fitted(NamedTuple):
    """What B stars were fitted with.

    labels, error (B, L): with 1 sigma, in their own units; covariance (B, L, L); split (B, Zp); velocity (B,), km/s;
    chi2, pixels (B,): how many pixels counted; converged (B,); at_bound (B,): whether a label is at the end of the
    emulator's range; agreeing (B,): the share of the starts that came to the same chi-square, to 1.
    """

    labels: Tensor
    error: Tensor
    covariance: Tensor
    split: Tensor
    velocity: Tensor
    chi2: Tensor
    pixels: Tensor
    converged: Tensor
    at_bound: Tensor
    agreeing: Tensor


class Model:
    """What an observed spectrum is taken for: parameters (B, n) of order 1 -> flux (B, P).

    They are the labels, over the emulator's range; the split latents, in sigma of the training stars', which are
    expected at their mean to 1 sigma (through the translator only); the radial velocity, in km/s; and coefficients of a
    Chebyshev polynomial of some degree on each chip, by which the flux is multiplied.
    """

    def __init__(self, transfer: Transfer, through: str, velocity: bool = False, continuum: int | None = None) -> None:
        self.transfer, self.through = transfer, through
        emulator, device, t = transfer.emulator, transfer.device, transfer.translator
        self.split_mean = self.split_scale = torch.empty(0, device=device)
        if through == TRANSLATOR and transfer.split_sample.shape[1]:
            self.split_mean, self.split_scale = transfer.mean_split()[0], transfer.split_sample.std(dim=0)
        self.profile = LineProfile(transfer.wavelength, velocity=FASTEST / 6) if velocity else None
        self.polynomials = chip_polynomials(transfer.wavelength, continuum).to(device)
        self.sizes = [len(emulator.label_names), len(self.split_mean), int(velocity), len(self.polynomials)]
        reach = [0.5, FARTHEST, FASTEST, 1 / CONTINUUM_STEP]
        self.high = torch.cat([torch.full((size,), far) for size, far in zip(self.sizes, reach, strict=True)])
        self.high = self.high.to(device)
        self.low = -self.high
        self.width = emulator.label_high - emulator.label_low
        self.middle = (emulator.label_high + emulator.label_low) / 2
        # The emulator's last layer and the projection after it are linear maps: together they are a small one.
        units = emulator.output.in_features
        nothing, each = torch.zeros(1, units, device=device), torch.eye(units, device=device)
        self.offset = t.space_s.coordinates(transfer.hide(emulator.output(nothing)))
        self.layer = t.space_s.coordinates(transfer.hide(emulator.output(each))) - self.offset
        self.linear = through == TRANSLATOR and not velocity and continuum is None and isinstance(t.space_o, Components)

    def parts(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Labels (B, L), split latents (B, Zp), velocities (B, 0 or 1) and polynomials' coefficients (B, C)."""
        labels, split, velocity, terms = parameters.split(self.sizes, dim=1)
        split = self.split_mean + self.split_scale * split
        return self.middle + self.width * labels, split, velocity, CONTINUUM_STEP * terms

    def coordinates(self, parameters: Tensor) -> Tensor:
        """The coordinates (B, K) in the observed domain's space, through the translator."""
        labels, split, _, _ = self.parts(parameters)
        t, emulator = self.transfer.translator, self.transfer.emulator
        hidden = emulator.hidden(scale(labels, emulator.label_low, emulator.label_high))
        return t.generator_o(t.encode_synth(self.offset + hidden @ self.layer), split)

    def __call__(self, parameters: Tensor) -> Tensor:
        labels, _, velocity, terms = self.parts(parameters)
        if self.through == TRANSLATOR:
            flux = self.transfer.translator.space_o.restore(self.coordinates(parameters))
        else:
            flux = self.transfer.synthetic(labels)
        if self.profile is not None:
            flux = self.profile.convolve(flux, torch.zeros_like(velocity), velocity)
        return flux * (1 + terms @ self.polynomials) if terms.shape[1] else flux

    def prior(self, parameters: Tensor) -> Tensor:
        """Residuals (B, Zp) of what is expected of split latents before a spectrum is seen."""
        return parameters.split(self.sizes, dim=1)[1]

    def templates(self, seed: int) -> Tensor:
        """Parameters (TEMPLATES, n) of stars drawn from the emulator's range, all else as in a typical star."""
        emulator = self.transfer.emulator
        labels = draw_stars(emulator, TEMPLATES, torch.Generator().manual_seed(seed)).to(self.transfer.device)
        scaled = (labels - self.middle) / self.width
        return torch.nn.functional.pad(scaled, (0, sum(self.sizes[1:])))


class Target(NamedTuple):
    """What residuals of B stars are taken from: their spectra, or what is left of them in a space of K components.

    flux, weight (B, P) of the spectra. Of a model that lies in the space x = mean + c B with B (K, P), weighted least
    squares sees of a spectrum only its projection: with C = B diag(weight^2) B^T = F F^T,
        chi^2(c) = |F^T (c - centre)|^2 + rest,
    K residuals instead of P. centre (B, K), factor (B, K, K): F, and rest (B,), all None otherwise.
    """

    flux: Tensor
    weight: Tensor
    centre: Tensor | None = None
    factor: Tensor | None = None
    rest: Tensor | float = 0.0


class Projector:
    """Spectra to their `Target` in a space of components."""

    def __init__(self, space: Components) -> None:
        self.mean, self.basis = space.mean, (space.basis / space.weight[:, None]).T.contiguous()  # (P,), (K, P)
        K = len(self.basis)
        self.row, self.column = torch.tril_indices(K, K, device=self.mean.device)
        # As one product with the weights this is twice as quick as K x K of them star by star.
        self.products = (self.basis[self.row] * self.basis[self.column]).T.contiguous()  # (P, K (K + 1) / 2)

    def __call__(self, flux: Tensor, weight: Tensor) -> Target:
        K = len(self.basis)
        square = weight.square()
        curvature = torch.empty(len(flux), K, K, device=flux.device)
        curvature[:, self.row, self.column] = curvature[:, self.column, self.row] = square @ self.products
        curvature.diagonal(dim1=1, dim2=2).mul_(1 + 1e-6)  # so that spectra with few pixels can be factored too
        factor, failed = torch.linalg.cholesky_ex(curvature.double())
        moved = (square * (flux - self.mean)) @ self.basis.T
        centre = torch.cholesky_solve(moved.double()[:, :, None], factor)[:, :, 0].float()
        rest = ((flux - self.mean - centre @ self.basis) * weight).double().square().sum(dim=1)
        rest[failed != 0] = torch.nan
        return Target(flux, weight, centre, factor.float(), rest)


def chip_polynomials(wavelength: Tensor, degree: int | None) -> Tensor:
    """Chebyshev polynomials of degrees 0 to `degree` on each chip, (C, P), 0 on the others; none for None."""
    if degree is None:
        return torch.empty(0, len(wavelength))
    blocks = [chebvander(np.linspace(-1, 1, len(chip)), degree).T for chip in chips(wavelength)]
    return torch.block_diag(*(torch.from_numpy(block).float() for block in blocks))


class Fitter:
    """Fits a model to spectra, a batch at a time, from several starts.

    Templates are divided at random into as many parts as there are starts; each start is that of its part that is
    nearest to the star.
    """

    def __init__(self, model: Model, starts: int, seed: int) -> None:
        self.model = model
        templates = model.templates(seed)
        self.parts = list(zip(templates.chunk(starts), model(templates).chunk(starts), strict=True))
        self.target = Projector(model.transfer.translator.space_o) if model.linear else Target

    def residuals(self, target: Target, parameters: Tensor, rows: Tensor) -> Tensor:
        """What is to be made small, (b, M), of stars `rows` (b,), at parameters (b, n)."""
        model = self.model
        if target.factor is None:
            misfit = (model(parameters) - target.flux[rows]) * target.weight[rows]
        else:
            off = model.coordinates(parameters) - target.centre[rows]
            misfit = (off[:, None] @ target.factor[rows])[:, 0]
        return torch.cat([misfit, model.prior(parameters)], dim=1)

    @torch.no_grad()
    def __call__(self, spectra: Spectra) -> Fitted:
        """Labels of observed spectra (B, P)."""
        model = self.model
        flux, weight = spectra.flux, torch.where(spectra.mask, 1 / spectra.error, 0.0)
        target = self.target(flux, weight)
        square = weight.square()
        tries = []
        for templates, theirs in self.parts:
            # sum of w^2 (x - m)^2 without the term that all templates share
            misfit = square @ theirs.square().T - 2 * (flux * square) @ theirs.T
            start = templates[misfit.argmin(dim=1)]
            tries.append(least_squares(partial(self.residuals, target), start, model.low, model.high))
        chi2 = torch.stack([one.chi2 for one in tries])  # (starts, B)
        best, which = chi2.min(dim=0)
        stars = torch.arange(len(which), device=which.device)
        found = Solution(*(torch.stack(values)[which, stars] for values in zip(*tries, strict=True)))
        L = model.sizes[0]
        labels, split, velocity, _ = model.parts(found.parameters)
        told = found.curvature.clone()
        told.diagonal(dim1=1, dim2=2)[:, :L].add_(UNIFORM)
        covariance = torch.linalg.inv_ex(told)[0][:, :L, :L] * (model.width[:, None] * model.width)
        pixels = spectra.mask.sum(dim=1)
        return Fitted(
            labels=labels,
            error=covariance.diagonal(dim1=1, dim2=2).clamp_min(0).sqrt(),
            covariance=covariance,
            split=split,
            velocity=velocity.sum(dim=1),
            chi2=best + target.rest,
            pixels=pixels,
            converged=found.converged & (pixels > found.parameters.shape[1]),
            at_bound=found.at_bound[:, :L].any(dim=1),
            agreeing=(chi2 <= best + 1).double().mean(dim=0),
        )


def map_covariance(fitted: Fitted, truth: Tensor) -> Tensor:
    """The covariance (L, L) of the errors of the map itself, from N stars whose labels, truth (N, L), are known.

    It is what the second moments of fitted minus true labels have beyond the errors of noise; none of its variances
    is negative. Raises InputError where there are no more than L such stars.
    """
    off = (fitted.labels - truth).double()
    good = fitted.converged & (off.isfinite() & fitted.error.isfinite()).all(dim=1)
    labels = off.shape[1]
    if int(good.sum()) <= labels:
        raise InputError(
            f"known stars: expected more than {labels} that converge and have all labels, got {good.sum()}"
        )
    off = off[good]
    excess = off.T @ off / len(off) - fitted.covariance[good].mean(dim=0)
    unit = excess.diagonal().abs().sqrt()  # labels' units differ by orders of magnitude
    values, vectors = torch.linalg.eigh(excess / (unit[:, None] * unit))
    return (vectors * values.clamp_min(0)) @ vectors.T * (unit[:, None] * unit)


def widened(fitted: Fitted, covariance: Tensor) -> Fitted:
    """Fitted labels whose errors include those of the map, covariance (L, L)."""
    total = fitted.covariance + covariance
    return fitted._replace(covariance=total, error=total.diagonal(dim1=1, dim2=2).clamp_min(0).sqrt())


def compare(fitted: Fitted, truth: Tensor, names: Sequence[str]) -> dict[str, dict[str, float]]:
    """How far fitted labels are from true ones (N, L), for each label, over the stars that converged.

    bias, scatter: mean and standard deviation of fitted minus true; bias_error: the mean's; pull: the standard
    deviation of (fitted - true) / error, 1 where errors are what they say.
    """
    off = fitted.labels - truth
    rows = {}
    for i, name in enumerate(names):
        good = fitted.converged & off[:, i].isfinite()
        values, pulls = off[good, i].double(), (off[:, i] / fitted.error[:, i])[good]
        rows[name] = {
            "stars": len(values),
            "bias": values.mean().item(),
            "bias_error": values.std().item() / math.sqrt(max(len(values), 1)),
            "scatter": values.std().item(),
            "pull": pulls.double().std().item(),
        }
    return rows


def fit_split(fitter: Fitter, file: FileSource, split: str, batch_size: int, what: str) -> Fitted:
    """Fit all spectra of a split of a file, under a progress bar."""
    device, parts = fitter.model.transfer.device, []
    with tqdm(total=file.splits[split], desc=f"fitting {split} through the {what}", unit="star") as bar:
        for spectra in file.chunks(split, batch_size):
            parts.append(Fitted(*(values.cpu() for values in fitter(spectra.to(device)))))
            bar.update(len(spectra.flux))
    return Fitted(*map(torch.cat, zip(*parts, strict=True)))


def true_labels(file: FileSource, split: str, names: Sequence[str]) -> Tensor | None:
    """The file's own labels (n, L) for the names, NaN for those it has not; None where it has none of them."""
    labels = file.labels(split)
    if labels is None or not set(names) & set(file.label_names):
        return None
    columns = [file.label_names.index(name) if name in file.label_names else None for name in names]
    unknown = torch.full((len(labels),), math.nan)
    return torch.stack([unknown if column is None else labels[:, column] for column in columns], dim=1)


def check_splits(config: DictConfig, file: FileSource, names: Sequence[str]) -> list[str]:
    """The splits to fit; InputError where there are none, or no labels where stars are said to be known."""
    for key in ("split", "known"):
        if config[key] is not None and not file.splits.get(config[key]):
            raise InputError(f"config key '{key}': expected one of {', '.join(file.splits)}, got {config[key]}")
    if config.known is not None:
        labels = true_labels(file, config.known, names)
        if labels is None or not labels.isfinite().all(dim=1).any():
            raise InputError(f"{config.input}: expected labels {', '.join(names)} in '{config.known}', got others")
    splits = [config.split] if config.split is not None else [name for name, count in file.splits.items() if count]
    if not splits:
        raise InputError(f"{config.input}: expected spectra, got none in {', '.join(file.splits)}")
    return splits


def fit(config: DictConfig) -> dict:
    """Fit what `config` (validated) asks for, and write it, all or nothing: labels.h5, tables, fit.json and pictures.

    Raises InputError for input that cannot be used.
    """
    model = load(config.checkpoint, config.device, config.emulator)
    names = model.emulator.label_names
    output = find_checkpoint(config.checkpoint).parent / "fit" if config.output is None else Path(config.output)
    with FileSource(config.input, model.wavelength, config.wavelength) as file, written_together(output) as unfinished:
        splits = check_splits(config, file, names)
        results: dict[str, dict[str, Fitted]] = {}
        summary = {"run": str(config.checkpoint), "input": config.input, "known": config.known, "rate": {}}
        for through in (TRANSLATOR, EMULATOR):
            fitter = Fitter(Model(model, through, config.velocity, config.continuum), config.starts, config.seed)
            began = time.perf_counter()
            found = {split: fit_split(fitter, file, split, config.batch_size, through) for split in splits}
            summary["rate"][through] = sum(len(one.labels) for one in found.values()) / (time.perf_counter() - began)
            if config.known is not None:
                known = found.get(config.known) or fit_split(fitter, file, config.known, config.batch_size, through)
                own = map_covariance(known, true_labels(file, config.known, names))
                found = {split: widened(one, own) for split, one in found.items()}
            results[through] = found
            write_table(found, file, names, unfinished / f"{through}.csv")
        write_labels(results, names, unfinished / "labels.h5")
        truths = {split: true_labels(file, split, names) for split in splits}
        summary["splits"] = {
            split: {through: describe(found[split], truths[split], names) for through, found in results.items()}
            for split in splits
        }
        (unfinished / "fit.json").write_text(json.dumps(summary, indent=2) + "\n")
        for split in (split for split in splits if truths[split] is not None):
            ways = {through: found[split] for through, found in results.items()}
            for name, plot in (("fitted", plot_fitted), ("residuals", plot_residuals), ("pulls", plot_pulls)):
                plot(ways, truths[split], names).savefig(unfinished / f"{name}_{split}.png", dpi=110)
    show(summary)
    log.info("labels in %s", output)
    return summary


def describe(fitted: Fitted, truth: Tensor | None, names: Sequence[str]) -> dict:
    """How the fits of a split went, and how far off they are where its true labels (N, L) are known."""
    return {
        "stars": len(fitted.labels),
        "converged": fitted.converged.double().mean().item(),
        "at_bound": fitted.at_bound.double().mean().item(),
        "chi2_per_pixel": (fitted.chi2 / fitted.pixels).median().item(),
        "labels": None if truth is None else compare(fitted, truth, names),
    }


def show(summary: dict) -> None:
    """Print a summary of fits, as fit.json holds it."""
    rows = []
    for split, ways in summary["splits"].items():
        for through, found in ways.items():
            converged, rate = 100 * found["converged"], summary["rate"][through]
            text = "%s through the %s: %d stars, %.1f %% converged, %.0f a second"
            log.info(text, split, through, found["stars"], converged, rate)
            for name, numbers in (found["labels"] or {}).items():
                rows.append({"split": split, "label": name, "through": through, **numbers})
    if rows:
        print(format_table(rows))


def write_table(found: dict[str, Fitted], file: FileSource, names: Sequence[str], path: Path) -> None:
    """One row a star: its split, name or row, labels with errors, and how the fit went, as CSV."""
    with path.open("w", newline="") as table:
        rows = csv.writer(table)
        columns = [column for name in names for column in (name, f"{name}_err")]
        rows.writerow(["split", "id", *columns, "velocity", "chi2", "pixels", "converged", "at_bound", "agreeing"])
        for split, one in found.items():
            identities = file.identities(split) or range(len(one.labels))
            numbers = torch.stack([one.labels, one.error], dim=2).flatten(1).tolist()
            flags = torch.stack([one.converged, one.at_bound]).int().T.tolist()
            last = zip(one.velocity.tolist(), one.chi2.tolist(), one.agreeing.tolist(), strict=True)
            for star in zip(identities, numbers, last, one.pixels.tolist(), flags, strict=True):
                identity, values, others, pixels, (converged, at_bound) = star
                velocity, chi2, agreeing = (f"{value:.6g}" for value in others)
                texts = [f"{value:.6g}" for value in values]
                rows.writerow([split, identity, *texts, velocity, chi2, pixels, converged, at_bound, agreeing])


def write_labels(results: dict[str, dict[str, Fitted]], names: Sequence[str], path: Path) -> None:
    """The same, with covariances and split latents, as HDF5: a group for each way, 'NAME SPLIT' in each."""
    with h5py.File(path, "w") as file:
        file.attrs["label_names"] = list(names)
        for through, found in results.items():
            for split, one in found.items():
                for name, values in one._asdict().items():
                    stored = {"error": "labels_err", "split": "latent_split"}.get(name, name)
                    file[f"{through}/{stored} {split}"] = values.numpy()


@hydra.main(version_base="1.3", config_path=config_folder(), config_name="fit")
def main(config: DictConfig) -> None:
    with errors_in_one_line():
        fit(validate(config, FitConfig))


if __name__ == "__main__":
    run(main)
