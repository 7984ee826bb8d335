"""How far is a descent?"""

import contextlib
import functools as ft
import sys
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def progress(verbose, steps: int) -> Iterator[list[Callable]]:
    """Callbacks that show it on stderr: a bar where tqdm is installed, else lines."""
    if not verbose:
        yield []
        return
    try:
        from tqdm import tqdm
    except ImportError:
        tqdm = None
    if tqdm is None:
        yield [_print_line]
        return
    with tqdm(total=steps, unit="step", dynamic_ncols=True) as bar:
        yield [ft.partial(_update, bar)]


def _print_line(step: int, loss: float, _) -> None:
    print(f"step {step}: loss {loss:.4f}", file=sys.stderr, flush=True)


def _update(bar: Any, step: int, loss: float, _) -> None:
    bar.update(step - bar.n)
    bar.set_postfix_str(f"loss {loss:.4f}")
