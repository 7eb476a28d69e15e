"""What is made of the kernel's files."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgerun.kernel import is_in_memory

MOUNTS = r"""27 1 179:2 / /media/root-ro ro,relatime - ext4 /dev/mmcblk0p2 ro
28 1 0:30 / /media/root-rw rw,relatime shared:1 - tmpfs tmpfs-root rw
29 1 0:31 / / rw,relatime - overlay overlayroot rw,lowerdir=/media/root-ro,upperdir=/media/root-rw/overlay,workdir=/w
30 29 0:22 / /run rw,nosuid master:3 - tmpfs tmpfs rw,size=1k
31 29 179:3 / /my\040data rw - ext4 /dev/mmcblk0p3 rw
32 31 0:40 / /my\040data/fast rw - ramfs  rw
33 31 0:41 / /my\040data/box rw - overlay box rw,upperdir=/my\040data/box-layer,workdir=/w
34 30 0:42 / /run/box rw - overlay box rw,lowerdir=/lower,upperdir=/run/box-layer
"""


@pytest.mark.parametrize(
    ("path", "gone"),
    [
        ("/run/edgerun", True),
        ("/run", True),
        ("/runs/edgerun", True),
        ("/my data/state", False),
        ("/my data/fast/state", True),
        ("/my data/box/state", False),
        ("/run/box/state", True),
        ("/media/root-ro/state", False),
    ],
)
def test_a_folder_in_memory_is_told_also_below_an_overlay(tmp_path: Path, path: str, gone: bool) -> None:
    (tmp_path / "mountinfo").write_text(MOUNTS)
    assert is_in_memory(Path(path), tmp_path / "mountinfo") is gone


def test_a_system_that_tells_nothing_of_its_mounts_is_not_in_memory(tmp_path: Path) -> None:
    assert not is_in_memory(Path("/run"), tmp_path / "none")
