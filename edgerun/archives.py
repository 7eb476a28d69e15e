"""Zip archives of anyone's making."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from edgerun.errors import ModelError

if TYPE_CHECKING:
    from zipfile import ZipFile


@contextmanager
def unpacking(file: Path | IO[bytes], name: str) -> Iterator[ZipFile]:
    """An archive to be read in a ``with`` block that does nothing else. Raises ModelError where it is damaged, and what
    a file raises: OSError, and KeyError for what it does not hold."""
    import zipfile  # takes a while

    try:
        with zipfile.ZipFile(file) as archive:
            yield archive
    except (OSError, KeyError):
        raise
    except Exception as error:  # zlib's own, lzma's, EOFError, UnicodeDecodeError: zipfile lets all of them through
        raise ModelError(f"{name} is damaged: {str(error) or type(error).__name__}") from error
