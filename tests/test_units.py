"""The systemd unit says nothing wrong, is locked down, and install.sh puts it in place."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
UNIT = ROOT / "systemd" / "edgerun.service"
DROP_INS = sorted((ROOT / "systemd" / "drop-ins").glob("*.conf"))

needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not here")


def place(folder: Path, drop_in: Path | None = None) -> Path:
    """The unit with a command that exists here, for systemd-analyze looks whether it can be run."""
    unit = folder / "edgerun.service"
    unit.write_text(UNIT.read_text().replace("/opt/edgerun/bin/edgerun", "/bin/true"))
    if drop_in:
        (folder / "edgerun.service.d").mkdir()
        shutil.copy(drop_in, folder / "edgerun.service.d")
    return unit


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False)


@needs_systemd
@pytest.mark.parametrize("drop_in", [None, *DROP_INS], ids=lambda path: path.name if path else "none")
def test_verify_prints_nothing(tmp_path: Path, drop_in: Path | None) -> None:
    """It exits 0 for unknown keys, so the words count; each drop-in is tried on the unit."""
    version = int(analyze("--version").stdout.split()[1])
    if drop_in and drop_in.name == "notify-reload.conf" and version < 253:
        pytest.skip("Type=notify-reload came with systemd 253")
    done = analyze("verify", str(place(tmp_path, drop_in)))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_systemd
def test_the_unit_is_locked_down(tmp_path: Path) -> None:
    """systemd's own score of what a broken-in daemon could still do: at most 2.0 of 10."""
    done = analyze("security", "--offline=yes", "--threshold=20", "--no-pager", str(place(tmp_path)))
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_bad_configuration_is_not_tried_again() -> None:
    """The unit and the command agree on the exit status."""
    from edgerun.cli import EXIT_CONFIG

    assert f"RestartPreventExitStatus={EXIT_CONFIG}" in UNIT.read_text()


WHOLE_SAMPLES = [ROOT / "README.md", *sorted((ROOT / "configs").glob("*.yaml"))]


@pytest.mark.parametrize("sample", WHOLE_SAMPLES, ids=lambda path: path.name)
def test_the_service_gets_the_secrets_that_the_samples_name(sample: Path) -> None:
    """It may not read root's files itself: systemd hands over those that the unit names."""
    text, unit = sample.read_text(), UNIT.read_text()
    for name in re.findall(r"password: \{file: ([^}]+)\}", text):
        assert f"\nLoadCredential={name}:/etc/edgerun/{name}\n" in unit
    if "${CAM_PASSWORD}" in text:
        (file,) = re.findall(r"(?m)^EnvironmentFile=-(.+)$", unit)
        assert Path(file).name in text


@pytest.mark.skipif(not shutil.which("systemd-sysusers") or os.geteuid() != 0, reason="systemd-sysusers needs root")
def test_the_user_can_open_cameras_and_sticks(tmp_path: Path) -> None:
    """One user, in the groups that own the devices; it cannot log in."""
    (tmp_path / "etc").mkdir()
    sysusers = str(ROOT / "systemd" / "edgerun.sysusers")
    subprocess.run(["systemd-sysusers", f"--root={tmp_path}", sysusers], check=True, capture_output=True)
    groups = {line.split(":")[0] for line in (tmp_path / "etc/group").read_text().splitlines() if "edgerun" in line}
    assert {"video", "render", "plugdev"} <= groups
    assert "nologin" in (tmp_path / "etc/passwd").read_text()


# install.sh


def install(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    venv = root / "venv"
    if not venv.exists():  # one with an edgerun command in it
        (venv / "bin").mkdir(parents=True)
        command = venv / "bin" / "edgerun"
        command.write_text(f'#!/bin/sh\nexec {sys.executable} -m edgerun "$@"\n')
        command.chmod(0o755)
    script = [str(ROOT / "scripts" / "install.sh"), "--root", str(root), "--venv", str(venv), *arguments]
    return subprocess.run(script, capture_output=True, text=True, check=False)


def contents(root: Path) -> dict[str, tuple[str, int]]:
    files = [file for file in sorted(root.rglob("*")) if file.is_file() and "venv" not in file.parts]
    return {str(file.relative_to(root)): (file.read_text(), file.stat().st_mode) for file in files}


def test_installing_twice_is_installing_once(tmp_path: Path) -> None:
    """The first run puts everything in place, the second finds it there and says so."""
    first = install(tmp_path)
    assert first.returncode == 0, first.stderr
    there = contents(tmp_path)
    assert {
        "etc/edgerun/edgerun.yaml",
        "etc/edgerun/mqtt_password",
        "etc/systemd/system/edgerun.service",
        "etc/sysusers.d/edgerun.conf",
        "etc/udev/rules.d/60-edgerun-coral.rules",
    } <= set(there)
    unit = there["etc/systemd/system/edgerun.service"][0]
    assert "ExecStart=/venv/bin/edgerun run -c /etc/edgerun/edgerun.yaml\n" in unit
    assert there["etc/edgerun/mqtt_password"][1] & 0o777 == 0o600
    assert there["etc/edgerun/edgerun.yaml"][1] & 0o007 == 0

    second = install(tmp_path)
    assert second.returncode == 0, second.stderr
    assert contents(tmp_path) == there
    assert "write" not in second.stdout
    assert "is up to date" in second.stdout


@pytest.mark.skipif(not shutil.which("systemd-sysusers") or os.geteuid() != 0, reason="systemd-sysusers needs root")
def test_an_image_that_boots_lets_the_service_read_its_configuration(tmp_path: Path) -> None:
    """The group may not be there before; root alone could read it then, and the service ended for good."""
    assert install(tmp_path).returncode == 0
    for tool, *arguments in (("sysusers",), ("tmpfiles", "--create")):  # as at each boot
        config = tmp_path / "etc" / f"{tool}.d" / "edgerun.conf"
        subprocess.run([f"systemd-{tool}", f"--root={tmp_path}", *arguments, str(config)], check=False)
    (group,) = re.findall(r"(?m)^edgerun:x:(\d+):", (tmp_path / "etc" / "group").read_text())
    for path in (tmp_path / "etc" / "edgerun", tmp_path / "etc" / "edgerun" / "edgerun.yaml"):
        assert path.stat().st_gid == int(group)
        assert path.stat().st_mode & 0o047 == 0o040


def test_a_configuration_is_never_overwritten(tmp_path: Path) -> None:
    """Nor a password; a unit that was edited in place comes back."""
    assert install(tmp_path).returncode == 0
    (tmp_path / "etc/edgerun/edgerun.yaml").write_text("mine")
    (tmp_path / "etc/edgerun/mqtt_password").write_text("mine")
    (tmp_path / "etc/systemd/system/edgerun.service").write_text("broken")
    done = install(tmp_path)
    assert "edgerun.yaml is yours and stays as it is" in done.stdout
    there = contents(tmp_path)
    assert there["etc/edgerun/edgerun.yaml"][0] == there["etc/edgerun/mqtt_password"][0] == "mine"
    assert "WatchdogSec" in there["etc/systemd/system/edgerun.service"][0]


def test_uninstalling_leaves_what_is_the_users(tmp_path: Path) -> None:
    """The configuration and the state go only with --purge; a second time there is nothing to do."""
    assert install(tmp_path).returncode == 0
    assert install(tmp_path, "--uninstall").returncode == 0
    left = {name for name in contents(tmp_path) if "edgerun" in name}
    assert left == {"etc/edgerun/edgerun.yaml", "etc/edgerun/mqtt_password"}
    assert install(tmp_path, "--uninstall", "--purge").returncode == 0
    assert not (tmp_path / "etc/edgerun").exists()
    assert install(tmp_path, "--uninstall", "--purge").returncode == 0


def test_the_command_is_found_by_a_shell(tmp_path: Path) -> None:
    """As the README calls it. What somebody else put there stays."""
    link = tmp_path / "usr/local/bin/edgerun"
    assert install(tmp_path).returncode == 0
    assert link.readlink() == Path("/venv/bin/edgerun")
    shutil.copytree(tmp_path / "venv", tmp_path / "new")
    assert install(tmp_path, "--venv", "/new").returncode == 0
    assert link.readlink() == Path("/new/bin/edgerun")
    assert install(tmp_path, "--uninstall").returncode == 0
    assert not link.is_symlink()
    link.write_text("mine")
    assert f"{link} is something else" in install(tmp_path).stdout
    assert install(tmp_path, "--uninstall").returncode == 0
    assert link.read_text() == "mine"


def test_a_dry_run_touches_nothing(tmp_path: Path) -> None:
    """It says what would be done."""
    done = install(tmp_path, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path) == {}
    assert "would: write" in done.stdout


def test_on_a_jetson_the_unit_may_use_its_devices(tmp_path: Path) -> None:
    """The drop-in is for Jetsons alone."""
    assert install(tmp_path).returncode == 0
    assert not (tmp_path / "etc/systemd/system/edgerun.service.d").exists()
    (tmp_path / "etc/nv_tegra_release").write_text("# R36 (release), REVISION: 4.0")
    assert install(tmp_path).returncode == 0
    assert (tmp_path / "etc/systemd/system/edgerun.service.d/jetson.conf").exists()


def test_an_upgrade_needs_no_more_than_before(tmp_path: Path) -> None:
    """BusyBox has a ``realpath`` of its own, which knows no options."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "realpath").symlink_to("/bin/false")
    environ = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    script = [str(ROOT / "scripts" / "install.sh"), "--dry-run"]
    done = subprocess.run(script, capture_output=True, text=True, env=environ, check=False)
    assert done.returncode == 0, done.stderr
    assert "would: " in done.stdout


@pytest.mark.parametrize(
    "prefix", ["/", "/usr", "/usr/", "/usr//", "/opt/../etc", "//etc", "/etc/.", "/etc", "relative"]
)
def test_a_prefix_that_is_not_ours_is_refused(tmp_path: Path, prefix: str) -> None:
    """--uninstall removes the prefix, so it must be a folder of its own."""
    done = install(tmp_path, "--prefix", prefix)
    assert done.returncode == 2
    assert "--prefix" in done.stderr


def test_an_environment_is_called_by_its_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit takes no other; within an image it is the path that the image has."""
    monkeypatch.chdir(tmp_path)
    for venv in ("venv", "/venv", f"{tmp_path}/x/../venv"):
        assert install(tmp_path, "--venv", venv).returncode == 0
        assert "ExecStart=/venv/bin/edgerun run" in contents(tmp_path)["etc/systemd/system/edgerun.service"][0]


@pytest.mark.parametrize("option", ["--venv", "--prefix"])
@pytest.mark.parametrize(
    ("folder", "why"),
    [
        ("/home/me/edgerun", "the service sees no home directories"),
        ("/root/edgerun", "the service sees no home directories"),
        ("/opt/my edgerun", "a unit cannot call"),
        ("/opt/100%", "a unit cannot call"),
    ],
)
def test_a_folder_that_the_service_cannot_use_is_refused(tmp_path: Path, option: str, folder: str, why: str) -> None:
    """Before anything is written: it would only fail at every start."""
    script = [str(ROOT / "scripts" / "install.sh"), "--root", str(tmp_path), option, folder]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert (done.returncode, contents(tmp_path)) == (2, {})
    assert why in done.stderr


def test_an_environment_that_was_half_made_is_made_anew(tmp_path: Path) -> None:
    """As without python3-venv, which the script then asks for: the next run must take the folder for its own. Or the
    environment is whole, and the system's Python was upgraded under it."""
    text = (ROOT / "scripts" / "install.sh").read_text()
    (functions,) = re.findall(r"(?ms)^    has_pip\(\).*?^    }$", text)
    venv, tool = tmp_path / "edgerun", tmp_path / "bin" / "python3"
    tool.parent.mkdir()

    def make(python3: str) -> int:
        tool.write_text(f'#!/bin/sh\nfor last; do :; done; mkdir -p "$last/bin"; {python3}\n')
        tool.chmod(0o755)
        script = f"set -eu; own_venv={venv} mark={venv}/.edgerun-venv; {functions}\nhas_pip || make_venv; has_pip"
        environ = {**os.environ, "PATH": f"{tool.parent}:{os.environ['PATH']}"}
        return subprocess.run(["bash", "-c", script], env=environ, capture_output=True, check=False).returncode

    assert make('touch "$last/lib"; exit 1') == 1
    assert (venv / ".edgerun-venv").exists()
    assert make('ln -s /bin/true "$last/bin/python"') == 0
    assert not (venv / "lib").exists()
    (venv / "bin" / "python").unlink()
    (venv / "bin" / "python").symlink_to("/usr/bin/gone")
    assert make('ln -s /bin/true "$last/bin/python"') == 0
    assert make("exit 1") == 0


def test_a_stick_that_is_plugged_in_already_is_given_to_the_service(tmp_path: Path) -> None:
    """What udev reads anew counts for what comes; until it was pulled or the device started anew, it stayed root's."""
    text = (ROOT / "scripts" / "install.sh").read_text()
    (block,) = re.findall(r"(?ms)^if services; then$.*?^fi$", text)
    (tmp_path / "udevadm").symlink_to("/bin/true")
    stubs = 'services() { true; }; unit_is() { true; }; act() { shift; echo "$@"; }; changed=1'
    environ = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", f"{stubs}\n{block}"], env=environ, capture_output=True, text=True, check=True)
    reload, trigger = (line for line in done.stdout.splitlines() if "udevadm" in line)
    assert reload == "udevadm control --reload"
    assert trigger.startswith("udevadm trigger ") and "usb" in trigger and "apex" in trigger


def test_a_strict_umask_of_roots_keeps_nothing_from_the_service(tmp_path: Path) -> None:
    """Its user must come to the command, and systemd's own tools to the rest."""
    before = os.umask(0o077)
    try:
        assert install(tmp_path).returncode == 0
    finally:
        os.umask(before)
    for folder in ("etc/systemd/system", "etc/udev/rules.d", "etc/sysusers.d"):
        assert (tmp_path / folder).stat().st_mode & 0o777 == 0o755


def test_a_package_that_a_power_cut_damaged_is_installed_again(tmp_path: Path) -> None:
    """pip takes it for installed, as its description is there: running install.sh again mended nothing."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path)], check=True)
    (place,) = tmp_path.glob("lib/python*/site-packages")
    for name in ("whole", "cut", "gone"):
        about = place / f"{name}-1.2.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        (about / "RECORD").write_text(f"{name}.py,sha256=x,9\n{about.name}/RECORD,,\n")
        (place / f"{name}.py").write_text("import os\n"[:9])
    (place / "cut.py").write_text("")
    (place / "gone.py").unlink()
    text = (ROOT / "scripts" / "install.sh").read_text()
    (asked,) = re.findall(r"(?ms)^    damaged_packages\(\).*?^    }$", text)
    script = f"set -eu; own_venv={tmp_path}; {asked}\ndamaged_packages"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert sorted(done.stdout.split()) == ["cut==1.2", "gone==1.2"]


def test_the_package_is_built_elsewhere(tmp_path: Path) -> None:
    """Out of a copy that goes again: what a build by root leaves in this folder would be in its owner's way."""
    (tmp_path / "bin").mkdir()
    (python := tmp_path / "bin" / "python").write_text(
        '#!/bin/sh\nfor last; do :; done; echo "$last"; ls "${last%\\[*}"\n'
    )
    python.chmod(0o755)
    (function,) = re.findall(r"(?ms)^    install_package\(\).*?^    }$", (ROOT / "scripts" / "install.sh").read_text())
    script = f"set -eu; own_venv={tmp_path} source_dir={ROOT} extras=demo; {function}\ninstall_package"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    place, *files = done.stdout.splitlines()
    assert place.endswith("[demo]")
    assert {"edgerun", "pyproject.toml"} <= set(files)
    copy = Path(place.removesuffix("[demo]"))
    assert copy != ROOT and not copy.exists()
