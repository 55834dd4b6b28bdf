"""Every call of the system that a command makes, made to fail in turn; and processes killed there.

    cc -shared -fPIC -o calls.so tests/faults/calls.c
    cd tests; LD_PRELOAD=$PWD/../calls.so python -m faults.harness FAILS KILLS SEED [COMMAND...]

Each case is a copy of a folder with inputs, finished runs and what all commands wrote there before. In it one command
runs whose n-th call fails (no room, an error of the disk, no permission), or which is killed there. Then no file may be
half-written, and the command ends with one line; after a kill the same command ends as if nothing had been.
"""

import csv
import ctypes
import errno
import gc
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import torch
from PIL import Image

from emulator.commands.writing import remove_orphans
from faults.tiny import COMMANDS, EMULATED, FILES, Tiny, call, write_inputs

REASONS = (errno.ENOSPC, errno.EIO, errno.EACCES)
LONGEST = 120  # seconds for a case
calls = ctypes.CDLL(None)


def forked(work: Callable[[], None], folder: Path, seconds: float | None = None) -> int:
    """The exit code of `work` in a copy of this process that works in a folder, minus the signal that ended it.

    seconds: after which it is killed.
    """
    child = os.fork()
    if child:
        if seconds is not None:
            time.sleep(seconds)
            os.kill(child, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code: Any = 0
    try:
        os.chdir(folder)
        for name, stream in (("out", 1), ("err", 2)):
            os.dup2(os.open(folder.parent / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
        signal.alarm(LONGEST)
        work()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        code = 99
        calls.arm(b"", 0, 0)
        traceback.print_exc()
    calls.arm(b"", 0, 0)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def once(
    command: Tiny, folder: Path, number: int = 0, reason: int = 0, seconds: float | None = None
) -> tuple[int, int]:
    """Run a command whose `number`-th call fails for a reason: its exit code, and how many it made.

    number: none for 0; seconds: after which it is killed.
    """
    counted = folder.parent / "count"

    def work() -> None:
        calls.arm(str(folder).encode(), number, reason)
        try:
            call(command)
        finally:
            made = calls.count()
            calls.arm(b"", 0, 0)
            counted.write_text(str(made))

    counted.unlink(missing_ok=True)
    code = forked(work, folder, seconds)
    return code, int(counted.read_text()) if counted.exists() else 0


def damage(path: Path) -> str | None:
    """Why a file cannot be read to its end, if it cannot."""
    try:
        if path.suffix in (".ckpt", ".pt"):
            torch.load(path, weights_only=True)
        elif path.suffix == ".h5":
            with h5py.File(path) as file:
                file.visititems(lambda name, item: item[()] is None if isinstance(item, h5py.Dataset) else None)
        elif path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".png":
            Image.open(path).load()
        elif path.suffix == ".csv":
            rows = list(csv.reader(path.read_text().splitlines()))
            assert rows
            assert {len(row) for row in rows} == {len(rows[0])}
        elif path.suffix == ".html":
            assert path.read_text().rstrip().endswith("</html>")
    except Exception as error:
        return f"{path.name}: {type(error).__name__} {error}"
    return None


def contents(folder: Path) -> dict[str, bytes]:
    """What lies in a folder, but for logs, which grow, and what Hydra notes of its own."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".log" and ".hydra" not in path.parts
    }


def faults_of(folder: Path, before: dict[str, bytes], code: int, killed: bool, command: Tiny) -> list[str]:
    """What is wrong after a case."""
    after, found = contents(folder), []
    found += [f"lost {name}" for name in before.keys() - after.keys()]
    changed = [name for name in after if after[name] != before.get(name) and ".unfinished" not in name]
    found += [f"half-written {problem}" for name in changed if (problem := damage(folder / name))]
    # A kill leaves them to the next command, and so does a call that fails to remove them.
    for place in sorted({path.parent for path in folder.rglob(".unfinished*")}):
        if place.exists():
            remove_orphans(place)
    found += [f"left {path.name}" for path in folder.rglob(".unfinished*")]
    if killed:
        return found
    said = (folder.parent / "err").read_text(errors="replace")
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    if code not in (0, 1, 2):
        found.append(f"exit code {code}")
    if "Traceback" in said or (code and len(errors) != 1 and command.module != "cyclegan.validate"):
        found.append(f"said {said[-300:]!r}")
    return found


class Bench:
    """The folder that all cases are copies of."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        for name in names:
            importlib.import_module(COMMANDS[name].module)
        gc.freeze()  # what is imported is shared by all copies of this process
        self.base, self.work = folder / "base", folder / "work" / "case"
        self.base.mkdir()
        self.work.parent.mkdir()
        forked(lambda: write_inputs(self.base), self.base)
        runs = {"files": FILES, "emulated": EMULATED, "half": (*FILES, "trainer.epochs=1")}
        needed = {argument.rpartition("=")[2] for name in names for argument in COMMANDS[name].arguments[:1]}
        for name, arguments in runs.items():
            if name not in needed:
                continue
            train = Tiny("cyclegan.train", (*arguments, f"hydra.run.dir={name}"), "")
            assert forked(lambda train=train: call(train), self.base) == 0, (self.base.parent / "err").read_text()
        self.calls, self.whole, self.seconds = {}, {}, {}
        for name in names:
            if name not in ("train", "resume"):
                code, _ = once(COMMANDS[name], self.base)
                assert code == 0, (name, (folder / "err").read_text())
        for name in names:
            folder, began = self.fresh(), time.monotonic()
            code, self.calls[name] = once(COMMANDS[name], folder)
            self.seconds[name] = time.monotonic() - began
            assert code == 0, (name, (self.work.parent / "err").read_text())
            self.whole[name] = self.weights()

    def fresh(self) -> Path:
        """A new copy."""
        shutil.rmtree(self.work, ignore_errors=True)
        shutil.copytree(self.base, self.work)
        return self.work

    def weights(self) -> dict[str, Any]:
        """Weights and metrics of the runs in the copy."""
        found = {}
        for run in ("new", "half"):
            if (self.work / run / "last.ckpt").exists():
                found[run] = torch.load(self.work / run / "last.ckpt", weights_only=True)["state_dict"]
                found[f"{run}, metrics"] = (self.work / run / "metrics.csv").read_text()
        return found

    def failing(self, name: str, number: int, reason: int) -> list[str]:
        """What is wrong after the n-th call of a command has failed."""
        folder = self.fresh()
        before = contents(folder)
        code, _ = once(COMMANDS[name], folder, number, reason)
        found = faults_of(folder, before, code, False, COMMANDS[name])
        if code == 0 and COMMANDS[name].made and not (folder / COMMANDS[name].made).exists():
            found.append(f"no {COMMANDS[name].made}, and exit code 0")
        return found

    def killed(self, name: str, number: int, part: float) -> list[str]:
        """What is wrong after a command was killed, or after it was run again.

        At its n-th call, or where that is 0 when `part` of the time that it takes has passed.
        """
        folder, command = self.fresh(), COMMANDS[name]
        before = contents(folder)
        code, _ = once(command, folder, number, -signal.SIGKILL, None if number else part * self.seconds[name])
        found = faults_of(folder, before, code, True, command)
        again = command
        if name == "train" and (folder / "new" / "last.ckpt").exists():
            again = Tiny(command.module, ("resume=new",), command.made)
        code, _ = once(again, folder)
        found += [f"again: {fault}" for fault in faults_of(folder, {}, code, False, command)]
        if code != 0:
            found.append(f"again: exit code {code}: {(self.work.parent / 'err').read_text()[-300:]!r}")
        return found + [f"again: other {part}" for part in self.unlike(name)]

    def unlike(self, name: str) -> list[str]:
        """Which of weights and metrics are not those of a command that was let alone."""
        found, whole = self.weights(), self.whole[name]
        if found.keys() != whole.keys():
            return [f"runs {sorted(found)}"]
        return [part for part, value in found.items() if not same(value, whole[part])]


def same(one: Any, other: Any) -> bool:
    """Whether two texts, or weights by name, are equal."""
    if isinstance(one, str):
        return one == other
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def cases_of(bench: Bench, kind: str, count: int, draws: random.Random) -> list[tuple[str, int, int]]:
    """Commands, numbers of calls, and reasons for them to fail: so many of a kind, each place as often as any other."""
    places = [(name, number) for name, made in bench.calls.items() for number in range(1, made + 1)]
    if kind == "kill":  # half of them at a call, half at any time
        every = [(name, number if draws.random() < 0.5 else 0, 0) for name, number in places]
    else:
        every = [(*place, reason) for place in places for reason in REASONS]
    draws.shuffle(every)
    return (every * (1 + count // len(every)))[:count]


def main(fails: int, kills: int, seed: int, names: Sequence[str]) -> int:
    """Run so many cases of the commands named and print what was wrong, and how many there were; 1 if anything was.

    Ctrl-C ends it with what was done so far.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it in what it runs in the background
    draws, done, wrong, began = random.Random(seed), Counter[tuple[str, str]](), 0, time.monotonic()
    with tempfile.TemporaryDirectory() as folder, suppress(KeyboardInterrupt):
        bench = Bench(Path(folder).resolve(), names)
        told = {name: f"{count} calls, {bench.seconds[name]:.1f} s" for name, count in bench.calls.items()}
        print(json.dumps(told, indent=1), flush=True)
        cases = [*cases_of(bench, "fail", fails, draws), *cases_of(bench, "kill", kills, draws)]
        draws.shuffle(cases)
        for name, number, reason in cases:
            faults = bench.failing(name, number, reason) if reason else bench.killed(name, number, draws.random())
            done[name, "failed" if reason else "killed"] += 1
            for fault in faults:
                wrong += 1
                print(f"{name}, call {number}, {errno.errorcode.get(reason, 'killed')}: {fault}", flush=True)
    failed, killed = (
        sum(count for (_, kind), count in done.items() if kind == which) for which in ("failed", "killed")
    )
    print({name: [done[name, "failed"], done[name, "killed"]] for name in names})
    print(f"{failed} calls failed, {killed} kills, {wrong} faults, {time.monotonic() - began:.0f} s")
    return min(wrong, 1)


if __name__ == "__main__":
    raise SystemExit(main(*map(int, sys.argv[1:4]), sys.argv[4:] or list(COMMANDS)))
