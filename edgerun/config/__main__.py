"""The child of ``load_isolated``: the Config, or the error, pickled on stdout."""

from __future__ import annotations

import pickle
import signal
import sys
from pathlib import Path

from edgerun.children import die_with_parent
from edgerun.errors import ConfigError, EdgerunError


def main(path: Path, *beside: Path) -> None:
    die_with_parent()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # nobody is there any more to be told
    try:
        from edgerun.config import load, load_and_remember

        outcome: object = load(path, *beside) if beside else load_and_remember(path)
    except EdgerunError as error:
        outcome = error
    except ImportError as error:
        outcome = ConfigError(f"{path}: cannot be read without {error.name}; install edgerun again")
    sys.stdout.buffer.write(pickle.dumps(outcome))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
