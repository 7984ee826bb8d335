"""How does `icon` start, so that Ctrl-C is one line whenever it comes?"""

import logging
import os
import signal
import sys
import threading


def main() -> None:
    """`icon.cli.main`, where Ctrl-C is heard while it is imported, too."""
    usual = signal.getsignal(signal.SIGINT)
    if usual is signal.default_int_handler:  # not where Ctrl-C is ignored
        signal.signal(signal.SIGINT, _stopped)
    from icon import cli

    signal.signal(signal.SIGINT, usual)
    sys.unraisablehook = _again
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # of a home it cannot use
    cli.main()


def _stopped(*_) -> None:
    # a KeyboardInterrupt would become whatever a half-imported module makes of it
    os.write(2, b"icon: stopped; nothing was written\n")
    os._exit(130)


def _again(lost) -> None:
    """Ctrl-C once more, if it came where nothing can be raised.

    JAX runs Python after every garbage collection.
    """
    if issubclass(lost.exc_type, KeyboardInterrupt):
        threading.Timer(0.01, os.kill, [os.getpid(), signal.SIGINT]).start()
    else:
        sys.__unraisablehook__(lost)
