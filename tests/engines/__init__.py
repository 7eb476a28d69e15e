"""Engines, on real models and on stand-ins for what a machine may lack."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


def built_library(source: str, folder: Path) -> str:
    """A shared library of the C file beside this one; its path."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler (apt install gcc)")
    path = Path(__file__).with_name(source)
    library = folder / f"lib{path.stem}-stand-in.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, path], check=True)
    return str(library)
