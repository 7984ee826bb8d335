"""Which phase of a fit is it, and how far is a descent?"""

import contextlib
import functools as ft
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any


def _tqdm() -> Any:
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm


@contextlib.contextmanager
def phase(verbose, name: str) -> Iterator[None]:
    """A phase whose end is not known: its name on stderr, and then its seconds."""
    if not verbose:
        yield
        return
    began, end = time.monotonic(), "\n" if _tqdm() is None else "\r"
    print(f"{name} ...", end=end, file=sys.stderr, flush=True)
    yield
    seconds = time.monotonic() - began
    print(f"{name}: {seconds:.1f} s", file=sys.stderr, flush=True)


@contextlib.contextmanager
def progress(verbose, steps: int, name: str) -> Iterator[list[Callable]]:
    """Callbacks that show it on stderr: a bar where tqdm is installed, else lines."""
    if not verbose:
        yield []
        return
    tqdm = _tqdm()
    if tqdm is None:
        yield [_print_line]
        return
    with tqdm(total=steps, desc=name, unit="step", dynamic_ncols=True) as bar:
        yield [ft.partial(_update, bar)]


def _print_line(step: int, loss: float, _) -> None:
    print(f"step {step}: loss {loss:.4f}", file=sys.stderr, flush=True)


def _update(bar: Any, step: int, loss: float, _) -> None:
    bar.update(step - bar.n)
    bar.set_postfix_str(f"loss {loss:.4f}")
