# Sourced by scripts/demo and scripts/test: makes .venv with what is asked for, quickly when it is already there.
# Needs python3 (3.10 or later), a package index, and for what is missing of the system's packages apt.

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
environment=$repository/.venv

as_root() { # apt needs root: we are it, or sudo makes us
    if ((EUID == 0)); then "$@"; elif command -v sudo >/dev/null; then sudo "$@"; else return 1; fi
}

apt_install() { # apt_install PACKAGE...
    if ! command -v apt-get >/dev/null; then
        echo "missing, and there is no apt here to install it: $*" >&2
        return 1
    fi
    echo "installing with apt: $*" >&2
    {
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120 update &&
            as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=120 \
                install --no-install-recommends "$@"
    } >&2 || {
        echo "could not install them; run as root: apt install $*" >&2
        return 1
    }
}

find_python() {
    local python
    for python in python3 python3.14 python3.13 python3.12 python3.11 python3.10; do
        if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            echo "$python"
            return
        fi
    done
    echo "edgerun needs Python 3.10 or later; $(python3 --version 2>&1)" >&2
    return 1
}

prepare() { # prepare EXTRAS: the environment with edgerun[EXTRAS] in it, and edgerun compiled as an installed one is
    local lock result=0
    exec {lock}>"$environment.lock"
    flock "$lock" # two scripts at once would take each other's files away
    install_extras "$1" && "$environment/bin/python" -m compileall -q "$repository/edgerun" || result=1
    exec {lock}>&-
    return $result
}

install_extras() {
    local extras=$1 python stamp log
    # a word for each extra set that was installed from this very pyproject.toml, at this very place
    stamp="$extras $(cat "$repository/pyproject.toml" <(echo "$repository") | sha256sum | cut -c1-16)"
    if [[ -x $environment/bin/python ]] && grep -qsxF "$stamp" "$environment/edgerun-stamps"; then
        return
    fi
    python=$(find_python) || return 1
    if ! "$environment/bin/python" -m pip --version >/dev/null 2>&1; then
        "$python" -c 'import ensurepip, venv' 2>/dev/null || apt_install python3-venv || return 1
        echo "making $environment" >&2
        "$python" -m venv --clear "$environment" || return 1
    fi
    echo "installing edgerun[$extras] (a minute or two)" >&2
    log=$(mktemp)
    if ! "$environment/bin/python" -m pip install --disable-pip-version-check --progress-bar off \
        --config-settings editable_mode=compat -e "$repository[$extras]" >"$log" 2>&1; then
        tail -n 30 "$log" >&2
        rm -f "$log"
        echo "pip could not install edgerun; is the package index reachable?" >&2
        return 1
    fi
    rm -f "$log"
    echo "$stamp" >>"$environment/edgerun-stamps"
}

prepare_tools() { # .venv-tools: a real inference server and a converter of models, which do not go with our dependencies
    local tools=$repository/.venv-tools python stamp="mlserver onnxruntime pnnx" log
    local pip=("$tools/bin/python" -m pip --disable-pip-version-check --retries 1 --timeout 20 install --progress-bar off)
    if grep -qsxF "$stamp" "$tools/edgerun-stamps"; then return; fi
    python=$(find_python) || return 1
    echo "installing what some tests run beside edgerun: $stamp (a minute)" >&2
    log=$(mktemp)
    if "$python" -m venv --clear "$tools" >"$log" 2>&1 && "${pip[@]}" mlserver onnxruntime >>"$log" 2>&1 &&
        "${pip[@]}" --no-deps pnnx >>"$log" 2>&1; then # all that the converter asks for is PyTorch, which it can do without
        echo "$stamp" >"$tools/edgerun-stamps"
    else
        tail -n 3 "$log" >&2
        echo "they are not to be had now; the tests that need them say so and are skipped" >&2
    fi
    rm -f "$log"
}
