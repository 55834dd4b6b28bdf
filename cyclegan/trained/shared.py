"""A run as a folder that stands alone, to be handed on: tensors, plain values, and the sums of both.

Tensors are in `safetensors` (https://github.com/huggingface/safetensors#format), which holds numbers and nothing that
runs; everything else is JSON, in which {"tensor": NAME} stands for one of them. Of equal tensors one is written, and in
half precision where that loses nothing: then {"tensor": NAME, "dtype": "float32"} says what it was.
"""

import hashlib
import json
import re
from pathlib import Path, PurePath
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from cyclegan.trained.checkpoint import PREFIX, Checkpoint, checked
from cyclegan.trained.run_folder import MODEL
from emulator.commands.errors import InputError, refusing

CONFIG, CARD, SUMS = "config.json", "README.md", "SHA256SUMS"
FORMAT = "cyclegan shared 1"
MOST_BYTES = 2**24  # of what is JSON or text; line lists are the most of it, with 60 bytes a line
LISTED = re.compile(r"([0-9a-f]{64})  (\w[\w.-]*)")  # as sha256sum writes it, of files that lie beside it
TENSOR, DTYPE, TUPLE = "tensor", "dtype", "tuple"
KINDS = (torch.float64, torch.float32, torch.float16, torch.int64, torch.bool)


def write_shared(folder: Path, checkpoint: Checkpoint, versions: dict[str, str]) -> None:
    """Write MODEL and CONFIG; versions: of what made them. The paths of the run's files lose their folders.

    Raises InputError for what JSON does not know.
    """
    weights = {name.removeprefix(PREFIX): one for name, one in checkpoint.weights.items() if name.startswith(PREFIX)}
    record = checkpoint.record.to_plain()
    record["config"] = _without_folders(record["config"])
    parts = _Parts()
    plain = {"format": FORMAT, "versions": versions, "step": checkpoint.step}
    plain |= {"translator": parts.plain(weights, "translator"), "record": parts.plain(record, "record")}
    with refusing("the run's record: expected finite numbers, texts, lists and names of them", "something else"):
        (folder / CONFIG).write_text(json.dumps(plain, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    (folder / MODEL).write_bytes(safetensors.torch.save(parts.tensors, metadata={"format": "pt"}))


def write_sums(folder: Path) -> None:
    """Write the sums of all files of a folder, as `sha256sum --check` reads them."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    (folder / SUMS).write_text("".join(sums), encoding="utf-8")


def is_shared(folder: Path) -> bool:
    """Whether a folder holds what `write_shared` writes, whole or not."""
    try:
        return json.loads(_text(folder / CONFIG))["format"] == FORMAT
    except (InputError, ValueError, TypeError, KeyError, RecursionError):
        return False


def read_shared(folder: Path) -> Checkpoint:
    """What `write_shared` wrote. Nothing of it runs.

    Raises InputError for a file that is not what the sums say, and for contents that are no run's.
    """
    contents, where = _read_summed(folder), str(folder / CONFIG)
    with refusing(f"{where}: expected the configuration of a shared run, format '{FORMAT}'", "another one"):
        plain = json.loads(contents[CONFIG])
        if plain["format"] != FORMAT:
            raise ValueError(f"format {plain['format']!r:.40}")
    with refusing(f"{folder / MODEL}: expected the tensors of a shared run, as {CONFIG} names them", "others"):
        joined = _Joined(safetensors.torch.load(contents[MODEL]))
        weights, record, step = (joined.whole(plain[name]) for name in ("translator", "record", "step"))
        joined.check()
        weights = {f"{PREFIX}{name}": one for name, one in weights.items()}
    return checked(str(folder), step, weights, record)


def _read_summed(folder: Path) -> dict[str, bytes]:
    """CONFIG and MODEL, once all that is listed in SUMS is what it was."""
    lines = _text(folder / SUMS).splitlines()
    listed = [LISTED.fullmatch(line) for line in lines]
    if not all(listed) or not {CONFIG, MODEL} <= {found[2] for found in listed if found}:
        raise InputError(f"{folder / SUMS}: expected SHA-256 sums of {CONFIG}, {MODEL} and more, got something else")
    contents = {}
    for expected, name in (found.groups() for found in listed if found):
        content = _bytes(folder / name)
        if (found := hashlib.sha256(content).hexdigest()) != expected:
            raise InputError(
                f"{folder / name}: expected the file that was shared, of SHA-256 {expected}, got one of {found}"
            )
        contents[name] = content
    return {name: contents[name] for name in (CONFIG, MODEL)}


def _bytes(path: Path) -> bytes:
    if not path.is_file():
        raise InputError(f"{path}: expected a file of a shared run, found none")
    with refusing(f"{path}: expected a file of a shared run", "one that cannot be read"):
        return path.read_bytes()


def _text(path: Path) -> str:
    if path.is_file() and (size := path.stat().st_size) > MOST_BYTES:
        raise InputError(f"{path}: expected at most {MOST_BYTES} bytes, got {size}")
    with refusing(f"{path}: expected text of a shared run"):
        return _bytes(path).decode()


def _without_folders(value: Any) -> Any:
    """Plain values with the last part of each path: the folders of whoever trained are nobody else's business."""
    if isinstance(value, dict):
        return {name: _without_folders(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_without_folders(part) for part in value]
    return PurePath(value).name if isinstance(value, str) else value


class _Parts:
    """Values taken apart: what JSON knows, and the tensors by the names of their places."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self.names: dict[tuple[object, ...], str] = {}  # by what a tensor holds

    def plain(self, value: Any, place: str) -> Any:
        """A value at a place, without tensors."""
        if isinstance(value, Tensor):
            return self._reference(value.detach().cpu().contiguous(), place)
        if isinstance(value, dict):
            return {name: self.plain(part, f"{place}.{name}") for name, part in value.items()}
        if isinstance(value, list | tuple):
            parts = [self.plain(part, f"{place}.{number}") for number, part in enumerate(value)]
            return {TUPLE: parts} if isinstance(value, tuple) else parts
        return value

    def _reference(self, tensor: Tensor, place: str) -> dict[str, str]:
        half = tensor.half() if tensor.dtype == torch.float32 else tensor
        stored = half if torch.equal(half.to(tensor.dtype), tensor) else tensor
        content = hashlib.sha256(stored.numpy().tobytes()).digest()
        name = self.names.setdefault((stored.dtype, stored.shape, content), place)
        if name == place:
            self.tensors[name] = stored
        changed = {} if stored.dtype == tensor.dtype else {DTYPE: str(tensor.dtype).removeprefix("torch.")}
        return {TENSOR: name} | changed


class _Joined:
    """The inverse of `_Parts`. What is none raises whatever it leads to."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self.tensors, self.made = tensors, dict[tuple[str, str | None], Tensor]()
        if others := [name for name, one in tensors.items() if one.dtype not in KINDS]:
            raise ValueError(f"{others[0]!r:.60} of {tensors[others[0]].dtype}")

    def whole(self, value: Any) -> Any:
        """A value with its tensors."""
        if isinstance(value, list):
            return [self.whole(part) for part in value]
        if not isinstance(value, dict):
            return value
        if TENSOR in value:
            return self._tensor(**value)
        if TUPLE in value:
            return tuple(self.whole(part) for part in value[TUPLE])
        return {name: self.whole(part) for name, part in value.items()}

    def _tensor(self, tensor: str, dtype: str | None = None) -> Tensor:
        if tensor not in self.tensors or dtype not in (None, "float32"):
            raise ValueError(f"no tensor {tensor!r:.60} of {dtype!r:.20}")
        if (tensor, dtype) not in self.made:
            stored = self.tensors[tensor]
            self.made[tensor, dtype] = stored if dtype is None else stored.float()
        return self.made[tensor, dtype]

    def check(self) -> None:
        """Raise ValueError for tensors that stand nowhere."""
        if unused := sorted(self.tensors.keys() - {name for name, _ in self.made}):
            raise ValueError(f"{unused[0]!r:.60}, which stands nowhere")
