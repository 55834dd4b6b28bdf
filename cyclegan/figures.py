"""Figures: arrays in, Figure out."""

import csv
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from torch import Tensor

from cyclegan.scores import SCORES
from cyclegan.spectra import ERROR_FLOOR, Spectra, chip_starts, with_gaps

WINDOW = 90.0  # Angstrom: wide enough for a dozen lines, narrow enough to see each
BEFORE, AFTER = "tab:blue", "tab:red"


def read_history(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Each column of a metrics.csv as (steps, values), where it has values."""
    columns: dict[str, list[tuple[int, float]]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            for name, value in row.items():
                if value and name not in ("step", "epoch"):
                    columns.setdefault(name, []).append((int(row["step"]), float(value)))
    return {name: tuple(np.array(points).T) for name, points in columns.items()}


def plot_history(history: dict[str, tuple[np.ndarray, np.ndarray]], controls: dict[str, float]) -> Figure:
    """The six scores and all losses against training steps; controls are drawn where they are not off the scale."""
    figure = Figure(figsize=(13, 9), layout="constrained")
    translations, latents, fit, judged = figure.subplots(2, 2, sharex=True).ravel()
    for name in SCORES:
        if name in history:
            axes = translations if name.startswith("x_") else latents
            axes.plot(*history[name], marker=".", label=f"{name} = {history[name][1][-1]:.3g}")
    for name, style in (("shift_synth_obs", "--"), ("floor_synth_obs", ":")):
        if name in controls:
            translations.axhline(controls[name], color="grey", ls=style, label=f"{name} = {controls[name]:.3g}")
    translations.set_ylabel("mean squared deviation [sigma²]")
    translations.set_title("translation of matched stars")
    latents.set_ylabel("normalised mean absolute difference")
    latents.set_title("agreement of latents")
    for name, (steps, values) in history.items():
        if name.startswith("train/"):
            kind = judged if "adversarial" in name or "discriminator" in name else fit
            kind.plot(steps, values, lw=1, label=name.removeprefix("train/").replace("_", " "))
    fit.set_title("losses of encoders and generators")
    fit.set_ylabel("loss, before its weight")
    judged.set_title("adversarial losses")
    judged.set_ylabel("loss, before its weight")
    for axes in (translations, latents, fit, judged):
        if axes.lines:
            axes.legend(fontsize=8)
        else:
            axes.text(0.5, 0.5, "none in this run", ha="center", va="center", transform=axes.transAxes, color="grey")
    for axes in (translations, latents, fit):
        if axes.lines:
            axes.set_yscale("log")
            axes.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter("{x:g}")
    for axes in (fit, judged):
        axes.set_xlabel("step (batches)")
    return figure


def plot_stars(
    wavelength: Tensor, synth: Spectra, obs: Spectra, so: Tensor, titles: list[str], hidden: Tensor | None
) -> Figure:
    """Stars before and after translation, where the gap is widest, and the residuals of all of them over all pixels.

    wavelength (P,) Angstrom; synth, obs, so (N, P): the same stars in theory, observed, and translated; titles: of
    the first len(titles) stars, which are drawn one by one; hidden (P,): pixels whose lines theory lacks.
    """
    x = wavelength.cpu().numpy()
    flux_s, flux_o, flux_so, sigma = (t.cpu().numpy() for t in (synth.flux, obs.flux, so, obs.error))
    before, after = flux_s - flux_o, flux_so - flux_o
    first = _widest_gap(x, np.abs(before).mean(axis=0))
    window = (x >= first) & (x <= first + WINDOW)

    figure = Figure(figsize=(14, 2.9 * len(titles) + 3.4), layout="constrained")
    rows = figure.subplots(2 * len(titles) + 1, 1, height_ratios=[2.2, 1] * len(titles) + [2.4])
    for star, title in enumerate(titles):
        upper, lower = rows[2 * star], rows[2 * star + 1]
        upper.step(x[window], flux_o[star, window], where="mid", color="black", lw=1.2, label="observed")
        upper.step(x[window], flux_s[star, window], where="mid", color=BEFORE, lw=1, label="synthetic")
        upper.step(x[window], flux_so[star, window], where="mid", color=AFTER, lw=1, label="synthetic, translated")
        scale = np.maximum(sigma[star], ERROR_FLOOR)
        lower.step(x[window], (before[star] / scale)[window], where="mid", color=BEFORE, lw=1)
        lower.step(x[window], (after[star] / scale)[window], where="mid", color=AFTER, lw=1)
        lower.axhspan(-1, 1, color="grey", alpha=0.25, lw=0)
        lower.set_yscale("symlog", linthresh=3)
        lower.set_yticks([-10, 0, 10])
        lower.yaxis.set_minor_formatter(NullFormatter())
        upper.set_title(title, loc="left", fontsize=10)
        upper.set_ylabel("normalised flux")
        lower.set_ylabel("residual [σ]")
        upper.tick_params(labelbottom=False)
        for axes in (upper, lower):
            axes.set_xlim(first, first + WINDOW)
            if hidden is not None:
                shade = hidden.cpu().numpy()[window]
                axes.fill_between(
                    x[window], 0, 1, where=shade, transform=axes.get_xaxis_transform(), color="gold", alpha=0.3, lw=0
                )
    rows[0].legend(ncols=3, fontsize=9, loc="lower right", bbox_to_anchor=(1, 1), frameon=False)
    rows[2 * len(titles) - 1].set_xlabel(
        "vacuum wavelength [Å]" + ("; shaded: hidden from theory" if hidden is not None else "")
    )
    whole = rows[-1]
    for residual, color, label in ((before, BEFORE, "before"), (after, AFTER, "after")):
        rms = np.sqrt((residual**2).mean(axis=0))
        whole.plot(
            with_gaps(x, x),
            with_gaps(rms, x),
            color=color,
            lw=0.6,
            label=f"{label}: {np.sqrt((rms**2).mean()):.4f} overall",
        )
    noise = np.sqrt((sigma**2).mean(axis=0))
    whole.plot(
        with_gaps(x, x),
        with_gaps(noise, x),
        color="black",
        lw=0.6,
        label=f"stated error: {np.sqrt((noise**2).mean()):.4f}",
    )
    whole.set_yscale("log")
    whole.set_ylim(top=4 * np.sqrt((before**2).mean(axis=0)).max())  # room for the legend
    whole.set_xlim(x[0], x[-1])
    whole.set_title(f"root mean square residual of {len(flux_o)} matched stars", loc="left", fontsize=10)
    whole.set_ylabel("flux")
    whole.set_xlabel("vacuum wavelength [Å]")
    whole.legend(ncols=3, fontsize=9, loc="upper left")
    return figure


def _widest_gap(x: np.ndarray, gap: np.ndarray) -> float:
    """The start of the WINDOW within one chip over which the mean of gap (P,) is largest."""
    best, start = -1.0, x[0]
    for chip in np.split(np.arange(len(x)), chip_starts(x)):
        total = np.concatenate([[0.0], np.cumsum(gap[chip])])
        stop = np.searchsorted(x[chip], x[chip] + WINDOW)
        inside = (x[chip] + WINDOW <= x[chip[-1]]) | (np.arange(len(chip)) == 0)
        means = np.where(inside, (total[stop] - total[:-1]) / np.maximum(stop - np.arange(len(chip)), 1), -1.0)
        if means.max() > best:
            best, start = means.max(), x[chip][means.argmax()]
    return float(start)
