"""An accelerator without hardware: tensors that say they are elsewhere, whose values are real and are kept here.

The device calls itself 'meta', the only one that needs no driver and that gradients pass through. What would fail on an
accelerator fails here: tensors of two devices in one operation, generators of another device, NumPy. What would make it
wait is counted: values asked for on the host, shapes that depend on values.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from pytorch_lightning.accelerators import CPUAccelerator
from pytorch_lightning.strategies import SingleDeviceStrategy
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

HERE, THERE = torch.device("cpu"), torch.device("meta")
aten = torch.ops.aten
MIXING = {  # what takes tensors of two devices on any accelerator
    aten.copy_.default,
    aten._to_copy.default,
    aten.index.Tensor,
    aten.index_put_.default,
    aten._index_put_impl_.default,
}
WAITING = {aten._local_scalar_dense.default, aten.equal.default, aten.nonzero.default, aten.masked_select.default}
RealGenerator, real_tensor, real_adam, real_adamw = (
    torch.Generator,
    torch.tensor,
    torch.optim.Adam,
    torch.optim.AdamW,
)


class MixedDevicesError(RuntimeError):
    """An operation that would fail on an accelerator."""


class Elsewhere(torch.Tensor):
    """A tensor on the accelerator; `value` is what it holds."""

    @staticmethod
    def __new__(cls, value: torch.Tensor) -> "Elsewhere":
        geometry = {"strides": value.stride(), "storage_offset": value.storage_offset(), "dtype": value.dtype}
        tensor = torch.Tensor._make_wrapper_subclass(cls, value.shape, device=THERE, requires_grad=False, **geometry)
        tensor.value = value
        return tensor

    @classmethod
    def __torch_dispatch__(cls, operation, types, arguments=(), options=None):
        return carry_out(operation, arguments, options or {}, [])

    def numpy(self):
        raise MixedDevicesError("numpy: a tensor of the accelerator")


def carry_out(operation: Callable, arguments: tuple, options: dict, waits: list[str]) -> object:
    """What an operation gives, on the device that it would be on; appends to waits what it would wait for."""
    leaves = tree_leaves((arguments, options))
    tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
    there = [tensor for tensor in tensors if isinstance(tensor, Elsewhere)]
    device = options.get("device")
    result_there = bool(there) if device is None else torch.device(device).type == THERE.type
    if there and operation not in MIXING and any(t.dim() > 0 for t in tensors if not isinstance(t, Elsewhere)):
        raise MixedDevicesError(f"{operation}: tensors of two devices")
    if operation is aten.index.Tensor and there and not isinstance(arguments[0], Elsewhere):
        raise MixedDevicesError(f"{operation}: indices of the accelerator for a tensor that is not there")
    for generator in (leaf for leaf in leaves if isinstance(leaf, RealGenerator)):
        if (THERE_GENERATORS.get(generator._cdata) is not None) != result_there:
            raise MixedDevicesError(f"{operation}: a generator of another device")
    masks = operation is aten.index.Tensor and any(i is not None and i.dtype is torch.bool for i in arguments[1])
    if there and (operation in WAITING or masks or (device is not None and not result_there)):
        waits.append(str(operation))

    arguments, options = tree_map(lambda x: x.value if isinstance(x, Elsewhere) else x, (arguments, options))
    if device is not None:
        options = {**options, "device": HERE}
    with torch.utils._python_dispatch._disable_current_modes():
        result = operation(*arguments, **options)
    own = {id(tensor.value): tensor for tensor in there}  # what is changed in place stays the tensor that it was

    def placed(value: object) -> object:
        if not isinstance(value, torch.Tensor):
            return value
        return own.get(id(value), Elsewhere(value) if result_there else value)

    return tree_map(placed, result)


THERE_GENERATORS: dict[int, RealGenerator] = {}  # by address; kept, so that no address is used again


class Generator(RealGenerator):
    """A generator for draws on the device that it is made with."""

    def __new__(cls, device: torch.device | str = HERE) -> "Generator":
        generator = RealGenerator.__new__(cls, HERE)
        generator.where = torch.device(device)
        if generator.where.type == THERE.type:
            THERE_GENERATORS[generator._cdata] = generator
        return generator

    def __init__(self, device: torch.device | str = HERE) -> None:
        pass

    @property
    def device(self) -> torch.device:
        return self.where


class Accelerator(CPUAccelerator):
    def setup_device(self, device: torch.device) -> None:
        pass


def strategy() -> SingleDeviceStrategy:
    """For a Trainer whose training is to take place on the accelerator."""
    return SingleDeviceStrategy(device=THERE, accelerator=Accelerator())


class Attached(TorchDispatchMode):
    """While this is entered there is an accelerator; waits: what it had to wait for."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []

    def __torch_dispatch__(self, operation, types, arguments=(), options=None):
        return carry_out(operation, arguments, options or {}, self.waits)


@contextmanager
def attached() -> Iterator[Attached]:
    """An accelerator for the time of a block."""

    def tensor(*values, device=None, **options):
        made = real_tensor(*values, **options)  # goes past all modes
        return made if device is None else made.to(device)

    with pytest.MonkeyPatch.context() as patch, Attached() as mode:
        patch.setattr(torch, "Generator", Generator)
        patch.setattr(torch, "tensor", tensor)
        patch.setattr(torch.optim, "Adam", lambda *given, fused, **more: real_adam(*given, foreach=False, **more))
        patch.setattr(torch.optim, "AdamW", lambda *given, fused, **more: real_adamw(*given, foreach=False, **more))
        yield mode
