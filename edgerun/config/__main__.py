"""The child of ``load_isolated``: the Config, or the ConfigError, pickled on stdout."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

from edgerun.config import load
from edgerun.errors import ConfigError

try:
    outcome: object = load(*map(Path, sys.argv[1:3]))
except ConfigError as error:
    outcome = error
except ImportError as error:
    outcome = ConfigError(f"{sys.argv[1]}: cannot be read without {error.name}; install edgerun again")
sys.stdout.buffer.write(pickle.dumps(outcome))
