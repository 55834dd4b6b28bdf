"""Figures of training: scores and losses over its steps, and over a sweep."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from cyclegan.figures.axes import AFTER, BEFORE, CYCLE, log_scale
from cyclegan.linear.maps import LINEAR
from cyclegan.scores.scores import SCORES

# What has no networks, by the names in scores.json.
CONTROLS = LINEAR | {"floor": "noiseless truth"}
STYLES = "--", "-.", (0, (4, 2, 1, 2, 1, 2)), (0, (1, 4)), ":"


def _without_side(loss: str) -> str:
    return loss.removesuffix("_synth").removesuffix("_obs")


def plot_history(
    history: Mapping[str, tuple[np.ndarray, np.ndarray]], controls: Mapping[str, float], kept: int | None = None
) -> Figure:
    """The six scores and all losses against training steps, and the `x_synth_obs` of controls.

    kept: after how many steps the networks were what the run ends with, where that is not its end.
    """
    figure = Figure(figsize=(11, 7.6), layout="constrained")
    translations, latents, fit, judged = figure.subplots(2, 2, sharex=True).ravel()
    for axes in (translations, latents, fit, judged):
        axes.set_prop_cycle(color=CYCLE)
    for name in SCORES:
        if name in history:
            axes = translations if name.startswith("x_") else latents
            axes.plot(*history[name], marker=".", label=f"{name} = {history[name][1][-1]:.3g}")
    for control, style in zip(CONTROLS, STYLES, strict=True):
        if (name := f"{control}_synth_obs") in controls:
            label = f"{CONTROLS[control]}: {controls[name]:.3g}"
            translations.axhline(controls[name], color="grey", ls=style, label=label)
    for axes in (translations, latents) if kept is not None else ():
        axes.axvline(kept, color="black", lw=0.8, label="networks kept")
    translations.set_ylabel("mean squared deviation [σ²]")
    translations.set_title("translation of matched stars (grey: x_synth_obs of controls)")
    latents.set_ylabel("normalised mean absolute difference")
    latents.set_title("differences of latents")
    losses = sorted(name.removeprefix("train/") for name in history if name.startswith("train/"))
    colors = dict(zip(dict.fromkeys(map(_without_side, losses)), cycle(CYCLE)))
    for name in losses:
        axes = judged if "adversarial" in name or "discriminator" in name else fit
        color, dashes = colors[_without_side(name)], "--" if name.endswith("_obs") else "-"
        axes.plot(*history[f"train/{name}"], lw=1, label=name.replace("_", " "), color=color, ls=dashes)
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
            log_scale(axes)
            bottom, top = axes.get_ylim()
            axes.set_ylim(top=top * (top / bottom) ** 0.3)  # room for the legend
            axes.legend(fontsize=8, ncols=3 if axes is fit else 2, loc="upper center")
    for axes in (fit, judged):
        axes.set_xlabel("step (batches)")
    return figure


def plot_sweep(rows: Sequence[Mapping[str, Any]], keys: list[str]) -> Figure:
    """x_synth_obs of a sweep's jobs against each key that was varied, with the median of each value's jobs.

    rows: as `sweep.read_jobs` gives them; jobs that failed are counted above.
    """
    figure = Figure(figsize=(max(4.0, 2.9 * len(keys)), 3.6), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(keys), sharey=True))
    for axes, key in zip(panels, keys, strict=True):
        values = sorted({row[key] for row in rows}, key=_number_first)
        for place, value in enumerate(values):
            scores = np.array([row["x_synth_obs"] for row in rows if row[key] == value])
            good = scores[np.isfinite(scores)]
            axes.plot(np.full(len(good), place), good, "o", color=BEFORE, ms=4, alpha=0.5)
            if len(good):
                (median,) = axes.plot([place - 0.3, place + 0.3], [np.median(good)] * 2, color=AFTER, lw=2)
            if failed := len(scores) - len(good):
                axes.annotate(f"{failed} failed", (place, 1), xycoords=("data", "axes fraction"), ha="center", va="top")
        axes.set_xticks(range(len(values)), values)
        axes.set_xlim(-0.6, len(values) - 0.4)
        axes.set_xlabel(key)
    panels[0].set_ylabel("x_synth_obs [σ²]")
    log_scale(panels[0])
    panels[0].legend([median], ["median"], fontsize=8)
    return figure


def _number_first(text: str) -> tuple[float, str]:
    try:
        return float(text), text
    except ValueError:
        return np.inf, text
