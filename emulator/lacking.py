"""Line lists that lack some of their strong lines: a theory whose faults are known."""

import numpy as np

from emulator.lines import MOLECULES, Lines

# Strength from which a line counts as strong: at APOGEE's resolution it would be 12 % deep in the star that shows it
# best, were it not saturated; in a star of the disc it is some 4 % deep.
STRONG = -5.25


def take_out(lines: Lines, share: float, seed: int) -> tuple[Lines, Lines]:
    """Leave out `share` of the strong lines of each element and each molecule, at random, to the nearest whole number.

    lines: with their strengths. Which lines of an element are drawn does not depend on those of others. Returns the
    lines that are left, and those that were taken out.
    """
    makers = np.array([maker(species) for species in lines.species])
    taken = np.zeros(len(makers), dtype=bool)
    for name in np.unique(makers):
        own = np.flatnonzero((makers == name) & (lines.strength >= STRONG))
        order = np.random.default_rng([seed, *str(name).encode()]).permutation(own)
        taken[order[: round(share * len(own))]] = True
    return lines.chosen(~taken), lines.chosen(taken)


def maker(species: str) -> str:
    """The element of an atom or ion, as Fe of "Fe II"; a molecule as it is."""
    return species if species in MOLECULES.name else species.split()[0]
