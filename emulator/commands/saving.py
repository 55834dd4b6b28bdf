"""Networks as files."""

import io
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


def saved(contents: Any) -> memoryview:
    """Tensors and plain types as torch.load reads them from a file."""
    file = io.BytesIO()  # of a disk that is full torch.save says no more than that a position is unexpected
    torch.save(contents, file)
    return file.getbuffer()


def load_saved(path: str | Path) -> Any:
    """What a file of torch holds, on the CPU: tensors and plain types, nothing that runs.

    Raises ValueError for one that is packed, which torch never writes, and which may unpack to any size; for a tensor
    that is no array of real numbers: a complex, sparse or quantised one, or one without values; and whatever else its
    bytes lead an unpickler to.
    """
    with Path(path).open("rb") as file:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                if any(member.file_size > member.compress_size for member in archive.infolist()):
                    raise ValueError("a packed file")
        file.seek(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damaged bytes, which are refused
            contents = torch.load(file, map_location="cpu", weights_only=True)
    _check_tensors(contents)
    return contents


def _check_tensors(contents: Any) -> None:
    parts, seen = [contents], set()
    while parts:
        part = parts.pop()
        if isinstance(part, Tensor):
            dense = part.layout == torch.strided and part.device.type == "cpu"
            if not dense or part.is_complex() or part.is_quantized:
                raise ValueError(f"a tensor of {part.dtype}, {part.layout}, on {part.device}")
        elif isinstance(part, Mapping | list | tuple) and id(part) not in seen:  # one may hold itself
            seen.add(id(part))
            parts += part.values() if isinstance(part, Mapping) else part
