"""python -m cyclegan.fit checkpoint=RUN input=FILE.h5: stellar labels of observed spectra.

Labels -> emulator -> synthetic spectrum -> observed spectrum, fitted to each star by weighted least squares; and, for
comparison, through the emulator alone, as if theory were right.
"""

import csv
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import hydra
import torch
from omegaconf import DictConfig
from torch import Tensor
from tqdm import tqdm

from cyclegan.checkpoint import find_checkpoint
from cyclegan.fitter import EMULATOR, TEMPLATES, TRANSLATOR, Fitted, Fitter, Model
from cyclegan.label_figures import plot_fitted, plot_label_residuals, plot_pulls
from cyclegan.results import format_table, write_json
from cyclegan.tables import FIT_COLUMNS, STAR_COLUMNS
from cyclegan.transfer import DEVICES, FileSource, load
from emulator.command import MOST_SEED, InputError, config_folder, errors_in_one_line, run, validate, written_together

log = logging.getLogger(__name__)


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
    seed: int = field(metadata={"minimum": 0, "maximum": MOST_SEED})
    batch_size: int = field(metadata={"minimum": 1})
    wavelength: str | None
    device: str = field(metadata={"choices": DEVICES})
    output: str | None


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
        write_json(unfinished / "fit.json", summary)
        for split in (split for split in splits if truths[split] is not None):
            ways = {through: found[split] for through, found in results.items()}
            for name, plot in (("fitted", plot_fitted), ("residuals", plot_label_residuals), ("pulls", plot_pulls)):
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
        rows.writerow([*STAR_COLUMNS, *columns, *FIT_COLUMNS])
        for split, one in found.items():
            identities = file.identities(split) or range(len(one.labels))
            numbers = torch.stack([one.labels, one.error], dim=2).flatten(1).numpy().astype("float32")
            flags = torch.stack([one.converged, one.at_bound]).int().T.tolist()
            last = zip(one.velocity.tolist(), one.chi2.tolist(), one.agreeing.tolist(), strict=True)
            for star in zip(identities, numbers, last, one.pixels.tolist(), flags, strict=True):
                identity, values, others, pixels, (converged, at_bound) = star
                velocity, chi2, agreeing = (f"{value:.6g}" for value in others)
                texts = map(str, values)  # the shortest that give the same float32
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
    run(main, "fit")
