"""The end that a run's surroundings ask for: steps that no checkpoint holds yet are saved first."""

import logging
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from subprocess import DEVNULL, PIPE
from types import FrameType
from typing import Any

from emulator.commands.errors import first_line

log = logging.getLogger(__name__)

WARNED = signal.SIGUSR1  # what clusters are told to send ahead of a limit of time, and on their own never do
ASKS = (signal.SIGTERM, WARNED)
TERMINATED = 143  # the exit code of what SIGTERM ends
PATIENCE = 60  # seconds for an answer of SLURM
Handler = Callable[[int, FrameType | None], Any] | int | None


class Ending:
    """Whether a run was asked to end, and how it does.

    held: whether the end waits for the end of a batch, in which steps are saved that would be lost. requeue: whether
    SIGUSR1 makes SLURM run the job again.
    """

    def __init__(self, requeue: bool) -> None:
        self.requeue, self.held = requeue, False
        self.asked: int | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take signals as they are meant here, and leave them as they were."""
        before = {number: signal.getsignal(number) for number in ASKS}
        self.listen()
        try:
            yield
        finally:
            self._handle(before)

    def listen(self) -> None:
        """Take signals again, which Lightning took for itself."""
        self._handle(dict.fromkeys(ASKS, self._ask))

    def _handle(self, handlers: Mapping[signal.Signals, Handler]) -> None:
        if threading.current_thread() is threading.main_thread():  # no other gets them
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked is None:  # some send each signal twice
            self.asked = number
            if not self.held:
                self.release()

    def release(self) -> None:
        """Nothing can be lost: exit if that was asked for. SLURM is told to run the job again where configured."""
        self.held = False
        if self.asked is not None:
            log.info("ended by %s", signal.Signals(self.asked).name)
            raise SystemExit(0 if self.asked == WARNED and self.requeue and _requeued() else TERMINATED)


def _requeued() -> bool:
    """Whether SLURM took the job back into its queue."""
    job = os.environ.get("SLURM_JOB_ID")
    if job is None:
        log.warning("config key 'trainer.requeue': expected a job of SLURM, got no SLURM_JOB_ID")
        return False
    try:
        command = ["scontrol", "requeue", job]
        subprocess.run(command, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE, timeout=PATIENCE, check=True, text=True)
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or first_line(error)
        log.warning("config key 'trainer.requeue': expected that SLURM takes job %s back, got '%s'", job, said.strip())
        return False
    return True
