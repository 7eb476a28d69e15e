"""The child of ``load_isolated``: the Config, or the ConfigError, pickled on stdout; what is good is remembered."""

from __future__ import annotations

import contextlib
import pickle
import sys
from pathlib import Path

from edgerun.config import load_and_tell
from edgerun.errors import ConfigError
from edgerun.remembered import Remembered, key_of, remember


def main(path: Path, *beside: Path) -> None:
    key = b""
    with contextlib.suppress(OSError):
        key = key_of(path)
    try:
        config, alone = load_and_tell(path, *beside)
        outcome: object = config
    except ConfigError as error:
        outcome, alone = error, False
    except ImportError as error:
        outcome, alone = ConfigError(f"{path}: cannot be read without {error.name}; install edgerun again"), False
    told = pickle.dumps(outcome)
    sys.stdout.buffer.write(told)
    sys.stdout.buffer.flush()
    # a text that was changed meanwhile is not the one that was found good
    if alone and not beside and key == key_of(path):
        remember(path, key, Remembered(told))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
