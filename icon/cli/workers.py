"""Which process trains which row of a table? Whichever is free.

Rows cost tracing, compiling and small steps: one core each is enough.
"""

import contextlib
import io
import multiprocessing
import os
import signal
import threading
from collections.abc import Generator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

import jax

from icon._base import checks as check
from icon._table import Cell
from icon.cli.cache import keep_programs
from icon.cli.names import find_all
from icon.cli.on import On


MOST = 8  # processes, of a gigabyte each
FEW = 8  # rows from which more than one process is worth its start


class Made(NamedTuple):
    """The rows of a table and what they are trained on, in this process."""

    cells: list[Cell]
    bench: Any
    seeds: range

    def attempt(self, row: int) -> dict[str, Any]:
        return self.bench.attempt(self.cells[row], self.seeds)


class Work(NamedTuple):
    """The same by its names, as it is handed to a process."""

    cells: tuple[str, ...]
    on: On
    seeds: range

    def made(self) -> Made:
        return Made(find_all(self.cells), self.on.bench(), self.seeds)


def count_of(workers: int | None, rows: int) -> int:
    """How many processes: as asked, or one for each core; on an accelerator one."""
    if workers is not None:
        return check.size("workers", workers)
    import joblib

    alone = rows < FEW or jax.default_backend() != "cpu"
    return 1 if alone else min(joblib.cpu_count(), MOST)


def attempted(
    work: Work, made: Made, rows: Sequence[int], count: int
) -> Generator[tuple, None, None]:
    """The number and the result of each of these rows, as they are finished."""
    if count == 1:
        for row in rows:
            yield row, made.attempt(row)
        return
    left, free, busy = list(reversed(rows)), list[_Worker](), dict[Any, _Worker]()
    try:
        while left or busy:
            while left and len(busy) < count:
                free = [worker for worker in free if worker.process.is_alive()]
                worker = free.pop() if free else _Worker(work)
                worker.begin(left.pop())
                busy[worker.connection] = worker
            for connection in wait(list(busy)):
                worker = busy.pop(connection)
                result = worker.result(made)
                free += [worker] if worker.alive else []
                yield worker.row, result
    finally:
        for worker in (*free, *busy.values()):
            worker.process.terminate()


class _Worker:
    """A process that trains a row, and then another one.

    It begins anew, as threads of JAX do not live on in a fork.
    """

    def __init__(self, work: Work):
        context = multiprocessing.get_context("spawn")
        config: Any = jax.config
        keeps = bool(config.jax_compilation_cache_dir)
        self.connection, other = context.Pipe()
        self.process = context.Process(target=_trains, args=(work, keeps, other))
        self.process.daemon = True
        with _deaf():  # Ctrl-C is for this process
            self.process.start()
        other.close()
        self.row, self.alive = -1, True

    def begin(self, row: int) -> None:
        self.row = row
        with contextlib.suppress(ConnectionError):  # killed: the result will say so
            self.connection.send(row)

    def result(self, made: Made) -> dict[str, Any]:
        """What came of its row; of a process that was killed, that it was."""
        from icon.recipes import refused

        try:
            return self.connection.recv()
        except (EOFError, ConnectionError):
            self.alive = False
            self.process.join()
            why = f"its process ended ({self.process.exitcode}): too little memory?"
            return refused(made.cells[self.row], why)


@contextlib.contextmanager
def _deaf():
    """Ctrl-C is ignored, and always by a process that begins meanwhile."""
    usual = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)


def _trains(work: Work, keeps: bool, connection: Connection) -> None:
    """Row after row."""
    threading.Thread(target=_end_together, daemon=True).start()
    if keeps:
        keep_programs()
    with contextlib.redirect_stderr(io.StringIO()):  # which has warned already
        made = work.made()
    while True:
        connection.send(made.attempt(connection.recv()))


def _end_together() -> None:
    """No row is trained for a process that was killed."""
    parent = multiprocessing.parent_process()
    assert parent  # of every process that another one began
    parent.join()
    os._exit(1)
