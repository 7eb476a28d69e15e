"""The child of ``load_isolated``: the Config, or the ConfigError, pickled on stdout."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

from edgerun.config import load, load_and_remember
from edgerun.errors import ConfigError

path, *beside = map(Path, sys.argv[1:])
try:
    outcome: object = load(path, *beside) if beside else load_and_remember(path)
except ConfigError as error:
    outcome = error
except ImportError as error:
    outcome = ConfigError(f"{path}: cannot be read without {error.name}; install edgerun again")
sys.stdout.buffer.write(pickle.dumps(outcome))
