"""Whether rows of a subset are the same stars in two files. Training and `validate` both go by this."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from emulator.commands.errors import InputError


class Rows(NamedTuple):
    """What a file says of who the stars of a subset are, row by row.

    where: the file, in messages; stars: how many; identities: their names, where it has them.
    """

    where: str
    stars: int
    identities: Sequence[str] | None


class Match(NamedTuple):
    """How rows of two files belong together.

    order (n,): the rows of the first file in the order of the second, None where they stand in it; told: what was done,
    None where there is nothing to say.
    """

    order: Tensor | None = None
    told: str | None = None


def match_rows(subset: str, one: Rows, other: Rows, otherwise: str) -> Match:
    """Match two files' stars of a subset: by ids where both have them, else row by row.

    otherwise: what may be done if they are other stars. Raises InputError where ids, or else the numbers of stars, say
    that they are.
    """
    if one.identities is None or other.identities is None:
        if one.stars != other.stars:
            raise InputError(
                f"expected the same stars in '{subset}' of both, got {one.stars} in {one.where}, {other.stars} in"
                f" {other.where}{otherwise}"
            )
        return Match()
    if list(one.identities) == list(other.identities):  # though a star may have several rows, one for each visit
        return Match()
    _check_unique(subset, one, otherwise)
    _check_unique(subset, other, otherwise)
    ours, theirs = ({name: row for row, name in enumerate(rows.identities or ())} for rows in (one, other))
    lacking = [(one, name) for name in theirs if name not in ours]
    lacking += [(other, name) for name in ours if name not in theirs]
    if lacking:
        ids, (rows, name) = len(ours | theirs), lacking[0]
        raise InputError(
            f"expected the same stars in '{subset}' of both, got {ids - len(lacking)} of {ids} ids in both, and no"
            f" '{name}' in {rows.where}{otherwise}"
        )
    order = torch.tensor([ours[name] for name in theirs])
    moved = int((order != torch.arange(len(order))).sum())
    return Match(
        order, f"'{subset}': {len(order)} stars are matched by id, {moved} of them from another row of {one.where}"
    )


def _check_unique(subset: str, rows: Rows, otherwise: str) -> None:
    name, count = Counter(rows.identities).most_common(1)[0]
    if count > 1:
        raise InputError(
            f"expected each id once in '{subset}' of {rows.where}, got '{name}' in {count} rows{otherwise}"
        )
