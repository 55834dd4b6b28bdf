"""A step of training on an accelerator: its time, what it waits for, and what it could be."""

import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import torch
from pytorch_lightning import Callback, Trainer
from torch import Tensor, nn
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks.rates import median_seconds, operations_of, product_rate, wait
from benchmarks.steps import CONV, DENSE, Step, built, config_of, noise_domains
from cyclegan.pairing.share import Share
from cyclegan.translator.dense import DenseDiscriminator, DenseEncoder, DenseGenerator

TIMED, PROFILED = 60, 20  # steps of a training
WARM_UP = 10
FEWEST = 200  # stars of which as many components can be found as the networks take
ASKED = ("aten::item", "aten::_local_scalar_dense", "aten::nonzero")  # for values that the processor has to wait for
WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")
LAUNCHES = ("cudaLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernel", "cuLaunchKernelEx")


def dense_step(device: torch.device, batch: int) -> Step:
    """The dense networks of payne2payne, at a batch."""
    domains = noise_domains(max(batch, FEWEST))
    return Step(config_of([*DENSE, "trainer.steps=100", f"trainer.batch_size={batch}"]), domains, device)


def described(step: Step, device: torch.device, rate: float) -> dict[str, float]:
    """How long a step takes, and what share of a rate of matrix products, operations a second, that is."""
    operations, seconds = operations_of(step), median_seconds(step, device)
    return {"ms": 1e3 * seconds, "GFLOP": operations / 1e9, "share of the product's rate": operations / seconds / rate}


def dense(device: torch.device, quick: bool) -> dict[str, object]:
    """Steps of dense networks at several batches, in float32, TF32 and bfloat16."""
    rate, found = product_rate(device, 256 if quick else 8192), {}
    for batch in (16,) if quick else (256, 1024, 4000):
        step = dense_step(device, batch)
        found[f"batch {batch}"] = described(step, device, rate)
        torch.set_float32_matmul_precision("high")
        found[f"batch {batch}, TF32, ms"] = 1e3 * median_seconds(step, device)
        torch.set_float32_matmul_precision("highest")
        with in_bfloat16(device):
            found[f"batch {batch}, bfloat16 networks, ms"] = 1e3 * median_seconds(step, device)
    return found


def conv(device: torch.device, quick: bool) -> dict[str, object]:
    """Steps of convolutional networks: of Cycle-StarNet's batch, and of a larger one."""
    found: dict[str, object] = {}
    pixels, channels = (120, ["networks.channels=[4,8]"]) if quick else (7214, [])
    torch.set_float32_matmul_precision("high")  # convolutions are in TF32 by PyTorch's own choice
    rate = product_rate(device, 256 if quick else 8192)
    torch.set_float32_matmul_precision("highest")
    for batch in (4,) if quick else (8, 64):
        settings = [*CONV, *channels, "trainer.steps=100", f"trainer.batch_size={batch}"]
        step = Step(config_of(settings), noise_domains(64, pixels), device)
        found[f"batch {batch}, as a share of TF32"] = described(step, device, rate)
    return found


@contextmanager
def in_bfloat16(device: torch.device) -> Iterator[None]:
    """The dense networks' layers multiply in bfloat16; what goes in and comes out, and the losses, are float32."""

    def wrapped(forward):
        def run(network: nn.Module, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
            with torch.autocast(device.type, torch.bfloat16):
                made = forward(network, *inputs)
            return made.float() if isinstance(made, Tensor) else tuple(part.float() for part in made)

        return run

    with ExitStack() as stack:
        for kind in (DenseEncoder, DenseGenerator, DenseDiscriminator):
            stack.enter_context(patch.object(kind, "forward", wrapped(kind.forward)))
        yield


def own_noise(share: Share, like: Tensor, generator: torch.Generator) -> Tensor:
    """`Share.noise` from the device's own generator, which a graph can hold."""
    return torch.randn_like(like)


def captured(device: torch.device, quick: bool) -> dict[str, float]:
    """A dense step as one CUDA graph: what it takes when nothing is launched by the processor."""
    found = {}
    for batch in (16,) if quick else (256, 1024, 4000):
        step = dense_step(device, batch)
        with patch.object(Share, "noise", own_noise), generator_of(device):
            found[f"batch {batch}, ms, launched"] = 1e3 * median_seconds(step, device)
            if device.type == "cuda":
                found[f"batch {batch}, ms, captured"] = 1e3 * median_seconds(graph_of(step).replay, device)
    return found


@contextmanager
def generator_of(device: torch.device) -> Iterator[None]:
    """What draws by a seed of its own draws from the device's generator: a graph can hold no other."""

    class Ready:
        def __init__(self, _: object) -> None:
            pass

        def manual_seed(self, _: int) -> None:
            return None

    with patch("cyclegan.losses.adversarial.torch.Generator", Ready):
        yield


def graph_of(step: Step) -> torch.cuda.CUDAGraph:
    """A step as a CUDA graph."""
    for optimizer in step.optimizers:
        for group in optimizer.param_groups:
            group["capturable"] = True
    beside = torch.cuda.Stream()
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        for _ in range(5):
            step()
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph


def compiled(device: torch.device, quick: bool) -> dict[str, float]:
    """A dense step whose networks are compiled."""
    step = dense_step(device, 16 if quick else 256)
    found = {"as it is, ms": 1e3 * median_seconds(step, device)}
    if device.type == "cuda":
        start = time.perf_counter()
        for network in (*step.module.translator.children(), *step.module.discriminators.children()):
            network.compile()
        step()
        wait(device)
        found |= {"compiling, s": time.perf_counter() - start, "compiled, ms": 1e3 * median_seconds(step, device)}
    return found


class Watch(Callback):
    """Times some steps of a training, and looks at what the next ones launch and wait for."""

    def __init__(self, device: torch.device, timed: int, profiled: int) -> None:
        self.device, self.stack = device, ExitStack()
        self.first, self.begin, self.end = WARM_UP, WARM_UP + timed, WARM_UP + timed + profiled
        self.found: dict[str, object] = {}

    def on_train_batch_start(self, trainer: Trainer, module: object, batch: object, index: int) -> None:
        if index in (self.first, self.begin, self.end):
            wait(self.device)
            now = time.perf_counter()
        if index == self.first:
            self.start = now
        elif index == self.begin:
            self.seconds = (now - self.start) / (self.begin - self.first)
            activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if self.device.type == "cuda" else [])]
            self.warned = self.stack.enter_context(warnings.catch_warnings(record=True))
            warnings.simplefilter("always")
            self.profiler = self.stack.enter_context(profile(activities=activities))
            if self.device.type == "cuda":
                torch.cuda.set_sync_debug_mode("warn")
        elif index == self.end:
            if self.device.type == "cuda":
                torch.cuda.set_sync_debug_mode("default")
            self.stack.close()

    def figures(self) -> dict[str, object]:
        """Counts a step, and the share of its time in which the device computes."""
        steps, events = self.end - self.begin, self.profiler.key_averages()
        count = {event.key: event.count for event in events}
        kernels = [event for event in events if event.device_type == DeviceType.CUDA]
        busy = sum(event.self_device_time_total for event in kernels) / 1e6 / steps
        said = [str(one.message).splitlines()[0] for one in self.warned if "synchroniz" in str(one.message)]
        return {
            "ms, as Lightning runs it": 1e3 * self.seconds,
            "operations of PyTorch": sum(n for key, n in count.items() if key.startswith("aten::")) / steps,
            "launches": sum(count.get(name, 0) for name in LAUNCHES) / steps,
            "kernels and copies": sum(event.count for event in kernels) / steps,
            "ms in which the device computes": 1e3 * busy,
            "share of the time in which it does": busy / self.seconds,
            "operations that ask for a value": {name: count.get(name, 0) / steps for name in ASKED},
            "waits for the device (two in all are the profiler's)": {n: count.get(n, 0) / steps for n in WAITS},
            "warnings of CUDA's watch for waits": len(said),
            "of these": "; ".join(sorted(set(said))) or "none",
        }


def watched(device: torch.device, quick: bool) -> dict[str, object]:
    """A real training of dense networks, by Lightning: its steps, and what they wait for."""
    timed, profiled = (2, 2) if quick else (TIMED, PROFILED)
    steps = WARM_UP + timed + profiled + 2
    sizes = ["trainer.batch_size=16"] if quick else []
    config = config_of([*DENSE, *sizes, f"trainer.steps={steps}", "trainer.epochs=1", "trainer.log_every=1000"])
    (module, data), watch = built(config, noise_domains(FEWEST if quick else 4000)), Watch(device, timed, profiled)
    Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=1,
        max_epochs=1,
        limit_val_batches=0,
        logger=False,
        callbacks=[watch],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    ).fit(module, data)
    return watch.figures()
