#!/bin/bash
# Installs edgerun as a systemd service: user, virtual environment, configuration, unit, udev rules.
# Run it again to upgrade or repair: what is right already is left alone, a configuration is never overwritten.
set -euo pipefail
umask 022 # the service's user must be able to read what root puts there

usage() {
    cat <<'USAGE'
usage: sudo scripts/install.sh [options]
  --prefix DIR   where the virtual environment goes (default /opt/edgerun)
  --venv DIR     use this virtual environment, with edgerun in it, instead of making one at the prefix;
                 with --root one that is in there
  --extras LIST  extras to install, such as demo (default: none)
  --root DIR     install into an image or a chroot; services are not touched
  --uninstall    remove all but the configuration and the state
  --purge        with --uninstall: remove these too
  --dry-run      say what would be done
USAGE
}

source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
prefix=/opt/edgerun venv="" extras="" root="" uninstall=0 purge=0 dry=0
while (($#)); do
    case $1 in
        --prefix) prefix=${2:?--prefix needs a folder}; shift ;;
        --venv) venv=${2:?--venv needs a folder}; shift ;;
        --extras) extras=${2:?--extras needs a list}; shift ;;
        --root) root=$(realpath -m -- "${2:?--root needs a folder}"); shift ;;
        --uninstall) uninstall=1 ;;
        --purge) purge=1 ;;
        --dry-run) dry=1 ;;
        -h | --help) usage; exit 0 ;;
        *) echo "install.sh: unknown option $1" >&2; usage >&2; exit 2 ;;
    esac
    shift
done
[[ $root == / ]] && root=""
while [[ $prefix == ?*/ ]]; do prefix=${prefix%/}; done
case $prefix/ in # in words of bash alone, as small systems have another realpath or none
    *//?* | */./* | */../* | [!/]*) echo "install.sh: --prefix must be an absolute path without . and .." >&2; exit 2 ;;
esac
case $prefix in
    / | /usr | /usr/local | /opt | /etc | /var | /home | /root | /bin | /lib)
        echo "install.sh: --prefix $prefix is not a folder of its own; give one such as /opt/edgerun" >&2; exit 2 ;;
esac
command=$prefix/bin/edgerun
if [[ -n $venv ]]; then
    venv=$(realpath -ms -- "$venv")
    if [[ $venv == "$root"/* ]]; then venv=${venv#"$root"}; fi # as the image itself calls it
    command=$venv/bin/edgerun
fi
if ((!uninstall)); then
    case $command in
        /home/* | /root/* | /run/user/*)
            echo "install.sh: the service sees no home directories, so no $command; choose a folder such as /opt/edgerun" >&2
            exit 2 ;;
        *[!A-Za-z0-9._/+@:-]*)
            echo "install.sh: a unit cannot call $command; choose a folder without blanks and the like" >&2; exit 2 ;;
    esac
fi

etc=$root/etc/edgerun
units=$root/etc/systemd/system
sysusers=$root/etc/sysusers.d/edgerun.conf
tmpfiles=$root/etc/tmpfiles.d/edgerun.conf
udev=$root/etc/udev/rules.d/60-edgerun-coral.rules
link=$root/usr/local/bin/edgerun
own_venv=$root$prefix
mark=$own_venv/.edgerun-venv

if [[ -z $root && $dry == 0 && $EUID != 0 ]]; then
    echo "install.sh: needs root; run it with sudo, or try --dry-run" >&2
    exit 1
fi

say() { echo "install: $*"; }
act() { # act WHAT COMMAND...: say it, and do it unless this is a dry run
    local what=$1
    shift
    if ((dry)); then say "would: $what"; else say "$what"; "$@"; fi
}
services() { [[ -z $root && -d /run/systemd/system ]]; }
unit_is() { services && systemctl -q "$1" edgerun.service 2>/dev/null; }

changed=0
put() { # put MODE TARGET: stdin to a file, unless it already holds just that
    local mode=$1 target=$2 text
    text=$(cat)
    if [[ -f $target && $(<"$target") == "$text" ]]; then
        say "$target is up to date"
        return
    fi
    changed=1
    act "write $target" write "$mode" "$target" "$text"
}
write() { # write MODE TARGET TEXT [OWNER]: all of it or nothing, whenever this is killed
    mkdir -p "$(dirname "$2")"
    printf '%s\n' "$3" >"$2.new"
    chmod "$1" "$2.new"
    if [[ -n ${4-} ]]; then chown "$4" "$2.new"; fi
    mv -f "$2.new" "$2"
}
take_away() { # take_away FILE...: those that are there
    local file
    for file in "$@"; do
        if [[ -e $file || -L $file ]]; then act "remove $file" rm -rf -- "$file"; fi
    done
}

is_our_link() { [[ -L $link && $(readlink "$link") == */bin/edgerun ]]; }

if ((uninstall)); then
    if unit_is is-active || unit_is is-enabled; then act "stop and disable edgerun.service" systemctl -q disable --now edgerun.service; fi
    take_away "$units/edgerun.service" "$units/edgerun.service.d" "$udev" "$sysusers" "$tmpfiles"
    if is_our_link; then take_away "$link"; fi
    if [[ -e $mark ]]; then take_away "$own_venv"; fi
    if services; then act "reload systemd" systemctl daemon-reload; fi
    if ((purge)); then
        take_away "$etc" "$root/var/lib/edgerun" "$root/var/cache/edgerun"
        if [[ -z $root ]] && id edgerun >/dev/null 2>&1; then act "remove the user edgerun" userdel edgerun; fi
    else
        say "kept: $etc and $root/var/lib/edgerun (--purge removes them)"
    fi
    exit 0
fi

# user
put 644 "$sysusers" <"$source_dir/systemd/edgerun.sysusers"
if [[ -n $root ]] || ! id edgerun >/dev/null 2>&1; then
    if command -v systemd-sysusers >/dev/null && [[ $EUID == 0 ]]; then
        act "make the user edgerun" systemd-sysusers ${root:+--root="$root"} "$sysusers"
    elif [[ -z $root ]]; then
        for group in video render plugdev; do
            getent group "$group" >/dev/null || act "make the group $group" groupadd --system "$group"
        done
        act "make the user edgerun" useradd --system --home-dir /var/lib/edgerun --no-create-home \
            --shell /usr/sbin/nologin --groups video,render,plugdev edgerun
    else
        say "the image makes the user itself on its first boot, from $sysusers"
    fi
else
    say "the user edgerun is there"
fi

# virtual environment
if [[ -n $venv ]]; then
    [[ -x $root$command ]] || { echo "install.sh: there is no $root$command" >&2; exit 1; }
    say "use $venv"
elif [[ -n $root ]]; then
    say "a virtual environment works only where it was made: in the image, python3 -m venv $prefix && $prefix/bin/pip install edgerun's folder"
else
    if [[ -e $own_venv && ! -e $mark && -n $(ls -A "$own_venv" 2>/dev/null) ]]; then
        echo "install.sh: $own_venv holds something else; remove it, or give another --prefix" >&2
        exit 1
    fi
    has_pip() { "$own_venv/bin/python" -m pip --version >/dev/null 2>&1; } # of the Python that is there now
    make_venv() { # anew, as it may be half of one, or that of a Python which an upgrade of the system took away
        mkdir -p "$own_venv"
        touch "$mark" # first, so that a next run goes on where this one fails
        rm -rf -- "${own_venv:?}"/*
        # on a Jetson the vendor's TensorRT lies in the system's packages
        local site=()
        if [[ -e /etc/nv_tegra_release ]]; then site=(--system-site-packages); fi
        python3 -m venv "${site[@]}" "$own_venv" || {
            echo "install.sh: python3 -m venv failed; apt install python3-venv, and run this again" >&2
            exit 1
        }
    }
    install_package() { # out of a copy: a build would leave root's files here, and bring modules back that are gone
        local copy result=0
        copy=$(mktemp -d)
        cp -R "$source_dir"/{pyproject.toml,README.md,LICENSE,edgerun} "$copy"
        "$own_venv/bin/python" -m pip install --quiet --upgrade "$copy${extras:+[$extras]}" || result=$?
        rm -rf "$copy"
        return $result
    }
    damaged_packages() { # as NAME==VERSION; where the power was cut files are empty, and pip takes them for installed
        "$own_venv/bin/python" - <<'PYTHON'
import csv
from importlib.metadata import distributions
from sysconfig import get_path

for one in distributions(path=list({get_path("purelib"), get_path("platlib")})):
    files = [(one.locate_file(name), size) for name, _, size in csv.reader((one.read_text("RECORD") or "").splitlines())]
    good = files and all(not size or (path.is_file() and path.stat().st_size == int(size)) for path, size in files)
    if one.metadata["Name"] not in (None, "edgerun") and not good:  # that one was just installed, and from here
        print(f"{one.metadata['Name']}=={one.version}")
PYTHON
    }
    mend_packages() {
        local damaged
        damaged=$(damaged_packages)
        if [[ -n $damaged ]]; then
            say "install again what is damaged:" $damaged
            "$own_venv/bin/python" -m pip install --quiet --ignore-installed --no-deps $damaged
        fi
    }
    if has_pip; then say "$own_venv is there"; else act "make a virtual environment in $own_venv" make_venv; fi
    act "install edgerun into it" install_package
    act "look whether all of it is whole" mend_packages
fi

# the command, where a shell finds it
make_link() {
    mkdir -p "$(dirname "$link")"
    ln -sfn "$command" "$link"
}
if is_our_link && [[ $(readlink "$link") == "$command" ]]; then
    say "$link is up to date"
elif [[ -e $link || -L $link ]] && ! is_our_link; then
    say "$link is something else and stays as it is"
else
    act "write $link" make_link
fi

# configuration
new_config() { # its owner is root, so that a daemon that was broken into cannot change it
    local owner=root:edgerun
    if [[ -n $root ]]; then owner=; fi # the group comes about when the image boots, see edgerun.tmpfiles
    mkdir -p "$etc"
    chmod 750 "$etc"
    if [[ -n $owner ]]; then chown "$owner" "$etc"; fi
    write 640 "$etc/edgerun.yaml" "$(<"$source_dir/configs/usb-camera.yaml")" "$owner"
}
if [[ -e $etc/edgerun.yaml ]]; then
    say "$etc/edgerun.yaml is yours and stays as it is"
else
    act "write $etc/edgerun.yaml, for a USB camera; edit it" new_config
fi
if [[ -n $root ]]; then put 644 "$tmpfiles" <"$source_dir/systemd/edgerun.tmpfiles"; fi
# an empty password file, because a missing one keeps the unit from starting
if [[ ! -e $etc/mqtt_password ]]; then act "write $etc/mqtt_password, empty" write 600 "$etc/mqtt_password" ""; fi

# unit, drop-in, udev
sed "s#^ExecStart=[^ ]*#ExecStart=$command#" "$source_dir/systemd/edgerun.service" | put 644 "$units/edgerun.service"
if [[ -e $root/etc/nv_tegra_release ]]; then
    put 644 "$units/edgerun.service.d/jetson.conf" <"$source_dir/systemd/drop-ins/jetson.conf"
fi
put 644 "$udev" <"$source_dir/systemd/60-edgerun-coral.rules"

if services; then
    if ((changed)); then act "reload systemd" systemctl daemon-reload; fi
    if ((changed)) && command -v udevadm >/dev/null; then
        act "reload udev" udevadm control --reload
        act "apply its rules to what is plugged in already" udevadm trigger --subsystem-match=usb --subsystem-match=apex
    fi
    unit_is is-enabled || act "enable edgerun.service" systemctl -q enable edgerun.service
    if unit_is is-active; then act "restart edgerun.service" systemctl restart edgerun.service; fi
fi
say "next: edit /etc/edgerun/edgerun.yaml; sudo edgerun check /etc/edgerun/edgerun.yaml; systemctl start edgerun"
