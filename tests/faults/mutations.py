"""Damage to good files: of bytes alone, and of what a file of its kind holds."""

import gzip
import io
import json
import re
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import h5py
import numpy as np
import torch
import yaml

from emulator.published import FLOAT_ARRAYS
from faults.parquet_mutations import mutate_parquet
from faults.values import NUMBERS, mutate_array, mutate_bytes

CELLS = (
    *("", " ", "nan", "inf", "-inf", "1e999", "-9999", "-999", "0", "-1", "1e30", "1e-400", "1e300", "-1e300", "0.5"),
    *("9" * 400, "9" * 5000, "1_000", "0x10", "１２", "٣", "true", "None", "²", "1 000", "5,0", "--1", "+", "name"),
    *('"', "'", '""', "=1+1", "#", "\0", "\x1b[31m", "\u2028", "\x85", "\x0c", "\r", "\n", ",", ",,,", ";", "\t", "*"),
    *("a" * 2000, "{", "[", "}", ": ", "- ", "&a", "*a", "!!python/object", "${oc.env:HOME}", "${seed}", "é", "\ufeff"),
)
VALUES = (
    *(None, True, False, 0, -1, 3, 10**30, 1e300, float("nan"), float("inf"), -9999.0, "", " ", "text", "cpu", "nan"),
    *("a" * 5000, "\0", "\ud800", "${oc.env:HOME}", "${name}", "os.system", "cyclegan.train", [], {}, [None], [[]]),
    *({"a": 1}, [1, 2, 3], {"_target_": "os.system"}, [float("nan")] * 3, {1: 2}, 10**400, (1, 2)),
)
CARDS = (
    *(
        "NaN",
        "'text'",
        "1E999",
        "-1",
        "0",
        "T",
        "",
        "1" * 30,
        "'unclosed",
        "-9999.0",
        "1.0E300",
        "3",
        "2",
        "'é'",
        "Inf",
    ),
    *(
        "16",
        "-32",
        "-64",
        "8",
        "8575",
        "'D'",
        "'1PE(999)'",
        "'10A'",
        "'1QD(3)'",
        "'K'",
        "'X'",
        "'m/s'",
        "'nm'",
        "'AWAV'",
    ),
)
KEYS = (
    *("BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "PCOUNT", "GCOUNT", "BSCALE", "BZERO", "BLANK", "XTENSION", "EXTNAME"),
    *("TFIELDS", "TFORM1", "TFORM2", "TTYPE1", "TTYPE2", "TDIM1", "TSCAL2", "TZERO2", "TNULL2", "TUNIT1", "THEAP"),
    *("V_ASTRA", "SDSS_ID", "INSTRMNT", "TFORM7", "TTYPE7", "CRVAL", "CDELT", "NPIXELS"),
    *("CRVAL1", "CDELT1", "CD1_1", "CRPIX1", "CTYPE1", "CUNIT1", "DC-FLAG", "SNR", "SNRVIS1", "OBJID", "TELESCOP"),
)
DEEP = 2000  # containers within each other: more than Python goes down by itself


def mutate(path: Path, chance: Random) -> None:
    """Damage a file in place, once or a few times."""
    rule = _rule_for(path)
    ruled = [rule is not None and chance.random() < 0.65 for _ in range(chance.choice((1, 1, 2, 3)))]
    # Bytes last: libraries that write a kind of files break down at damaged ones.
    for by_rule in sorted(ruled, reverse=True):
        if by_rule and rule is not None:
            rule(path, chance)
        else:
            path.write_bytes(mutate_bytes(path.read_bytes(), chance))


def _rule_for(path: Path) -> Callable[[Path, Random], None] | None:
    rules = {".h5": mutate_hdf5, ".npy": mutate_npy, ".npz": mutate_npz, ".fits": mutate_fits, ".gz": mutate_packed}
    rules |= {".pt": mutate_torch, ".ckpt": mutate_torch, ".yaml": mutate_yaml, ".json": mutate_json}
    rules |= {".csv": mutate_text, ".txt": mutate_text, ".parquet": mutate_parquet}
    return rules.get(path.suffix)


def mutate_hdf5(path: Path, chance: Random) -> None:
    """One dataset or one attribute made another, of an HDF5 file that can be opened; else nothing."""
    with suppress(Exception), h5py.File(path, "r+") as file:  # what cannot be stored is none
        objects: list[Any] = [file]
        file.visititems(lambda _, found: objects.append(found))
        if chance.random() < 0.3:
            own = chance.choice(objects[:1] * 3 + objects)
            name = chance.choice([*own.attrs, "medium", "label_names", "continuum_degree", "continuum_starts"])
            value = own.attrs.get(name, 1.0)
            other = [np.nan, 2**62, "text", b"\xff\xfe", "", [1.0, 2.0], [["a"]], np.zeros(4, "S3"), -1, "air", 10**15]
            own.attrs[name] = chance.choice([*other, *[mutate_array(np.asarray(value), chance)] * 8])
            return
        name = chance.choice([found.name for found in objects[1:] if isinstance(found, h5py.Dataset)])
        values = file[name][()]
        del file[name]
        how = chance.randrange(14)
        if how == 0:
            return
        if how == 1:
            file.create_group(name)
        elif how == 2:
            target = chance.choice((h5py.SoftLink("/nowhere"), h5py.SoftLink(name), h5py.ExternalLink("a.h5", "/b")))
            file[name] = target
        elif how == 3:
            file.create_dataset(
                name, chance.choice(((10**7, 10**6), (2**40,), (len(values), 10**9))), "f4", chunks=True
            )
        elif how == 4:
            file[name + "x"] = values
        elif how == 5:
            file[name] = chance.choice(
                (b"text", "text", np.zeros(3, "V8"), np.zeros(2, [("a", "f4")]), h5py.Empty("f"))
            )
        elif np.asarray(values).dtype.kind in "OSU":
            texts = mutate_array(np.array([str(value) for value in np.ravel(values)]), chance)
            file.create_dataset(name, data=[text.encode(errors="surrogateescape") for text in texts], dtype="S5000")
        else:
            file[name] = mutate_array(values, chance)


def mutate_npy(path: Path, chance: Random) -> None:
    """The array made another."""
    with suppress(Exception):
        np.save(path, mutate_array(np.load(path), chance))


def mutate_npz(path: Path, chance: Random) -> None:
    """One array made another, or gone, or under another name; or one member's bytes, whose checksum is right."""
    if chance.random() < 0.3:
        return mutate_member(path, chance)
    with suppress(Exception):
        arrays = dict(np.load(path))
        name = chance.choice(sorted(arrays))
        found = arrays.pop(name)
        how = chance.randrange(8)
        if how == 0:
            arrays["other"] = found
        elif how > 1:
            arrays[name] = mutate_array(found, chance)
        np.savez(path, **arrays)


def mutate_member(path: Path, chance: Random) -> None:
    """The bytes of one member of an archive, packed again."""
    with suppress(Exception):
        with zipfile.ZipFile(path) as archive:
            members = {one.filename: archive.read(one) for one in archive.infolist()}
        name = chance.choice(sorted(members))
        members[name] = mutate_bytes(members[name], chance)
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(zipfile.ZipInfo(name), content)


def mutate_packed(path: Path, chance: Random) -> None:
    """What a file packed by gzip holds."""
    with suppress(Exception):
        whole = path.with_suffix("")
        whole.write_bytes(gzip.decompress(path.read_bytes()))
        mutate_fits(whole, chance)
        path.write_bytes(gzip.compress(whole.read_bytes(), 1, mtime=0))
        whole.unlink()


def mutate_fits(path: Path, chance: Random) -> None:
    """A card with another value, of another key, twice, or blank; or numbers among the data."""
    data = bytearray(path.read_bytes())
    cards = [at for at in range(0, len(data) - 79, 80) if re.match(rb"[A-Z0-9_-]{1,8} *= ", bytes(data[at : at + 12]))]
    if not cards:
        return
    at, how = chance.choice(cards), chance.randrange(10)
    if how < 6:
        key = data[at : at + 8].decode("latin-1") if how < 4 else chance.choice(KEYS)
        data[at : at + 80] = f"{key:8}= {chance.choice(CARDS):>20}".encode("latin-1").ljust(80)[:80]
    elif how == 6:
        data[at : at + 80] = chance.choice((b" " * 80, b"END".ljust(80), data[cards[0] : cards[0] + 80]))
    else:
        special = np.array(chance.choice(NUMBERS))
        with np.errstate(all="ignore"):
            raw = special.astype(chance.choice((">f4", ">f8"))).tobytes()
        place = chance.randrange(2880, max(2881, len(data) - len(raw))) // 4 * 4
        data[place : place + len(raw)] = raw
    path.write_bytes(data)


def mutate_text(path: Path, chance: Random) -> None:
    """Cells, lines, ends of lines, encodings."""
    text = path.read_bytes().decode("latin-1")
    how, cells = chance.randrange(12), list(re.finditer(r"[^,\s'\"]+", text))
    if how < 7 and cells:
        start, stop = chance.choice(cells).span()
        text = text[:start] + chance.choice(CELLS) + text[stop:]
    elif how < 9:
        lines = text.splitlines(keepends=True) or [""]
        number, other = (chance.randrange(len(lines)) for _ in range(2))
        changes = (lines[number : number + 1] * 2, [], [lines[other]], [lines[number].replace(",", ";")])
        lines[number : number + 1] = chance.choice((*changes, [lines[number].strip() + ",\n"]))
        text = "".join(lines)
    elif how == 9:
        text = chance.choice((text.replace("\n", "\r"), text.replace("\n", "\r\n"), text.replace("\n", ",\n")))
    elif how == 10:
        text = chance.choice((text.replace(",", "\t"), text.replace(",", ";"), text.replace(".", ","), "\ufeff" + text))
    else:
        path.write_bytes(text.encode(chance.choice(("utf-16", "utf-8-sig", "utf-32"))))
        return
    path.write_bytes(text.encode("utf-8", errors="surrogatepass"))


def _mutate_tree(tree: Any, chance: Random, leaf: Callable[[Any], Any]) -> Any:
    """One value, anywhere, made another, gone, or under another key; leaf: what becomes of what is no container."""
    places = list(_places(tree))
    holder, key = chance.choice(places)
    value, how = holder[key], chance.randrange(10)
    if how == 0 and isinstance(holder, dict):
        del holder[key]
    elif how == 1 and isinstance(holder, dict):
        holder[chance.choice(("other", 3, "", None, key if not isinstance(key, str) else key + "x"))] = holder.pop(key)
    elif how == 2:
        for _ in range(chance.choice((1, 50, DEEP))):
            value = [value] if chance.random() < 0.5 else {"a": value}
        holder[key] = value
    elif how == 3 and isinstance(value, list | dict) and value:
        holder[key] = list(value.values()) if isinstance(value, dict) else value * 2
    else:
        holder[key] = leaf(value)
    return tree


def _places(tree: Any) -> Sequence[tuple[Any, Any]]:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [place for key, value in items for place in ((tree, key), *_places(value))]


def mutate_torch(path: Path, chance: Random) -> None:
    """One value of what a file of PyTorch holds, or one member's bytes."""
    if chance.random() < 0.3:
        return mutate_member(path, chance)

    def leaf(value: Any) -> Any:
        if isinstance(value, torch.Tensor) and chance.random() < 0.8:
            return torch.from_numpy(np.ascontiguousarray(mutate_array(value.numpy(), chance)))
        others = torch.tensor(np.nan), torch.zeros(3, 3), torch.empty(0), torch.eye(3).to_sparse(), float("-inf")
        return chance.choice((*VALUES, *others, torch.empty(2, device="meta"), torch.zeros(3, dtype=torch.complex64)))

    with suppress(Exception), torch.serialization.safe_globals(FLOAT_ARRAYS):
        whole = _listed(torch.load(path, weights_only=True))
        content = io.BytesIO()
        torch.save(_mutate_tree(whole, chance, leaf), content)
        path.write_bytes(content.getvalue())


def _listed(tree: Any) -> Any:
    """The same with lists for what cannot be changed in place, but pairs of tensors, which are read as pairs."""
    if isinstance(tree, dict):
        return {key: _listed(value) for key, value in tree.items()}
    return [_listed(value) for value in tree] if isinstance(tree, list) else tree


def mutate_yaml(path: Path, chance: Random) -> None:
    """One value of a configuration, or its text."""
    _mutate_plain(path, chance, yaml.safe_load, lambda tree: yaml.safe_dump(tree, sort_keys=False, allow_unicode=True))


def mutate_json(path: Path, chance: Random) -> None:
    """One value of a JSON file, or its text."""
    _mutate_plain(path, chance, json.loads, json.dumps)


def _mutate_plain(path: Path, chance: Random, read: Callable[[str], Any], write: Callable[[Any], str]) -> None:
    if chance.random() < 0.4:
        return mutate_text(path, chance)
    with suppress(Exception):
        tree = _mutate_tree(read(path.read_text()), chance, lambda _: chance.choice(VALUES))
        path.write_text(write(tree), encoding="utf-8", errors="surrogatepass")
