#!/bin/sh
# Make a virtual environment with the pinned packages: setup.sh VENV LOCK [PYTHON]
set -eu
venv=$1
lock=$2

fits() { "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; }

find_python() {
    for candidate in ${PYTHON:-} python3.12 python3.11 python3.10 python3 python; do
        if fits "$candidate"; then echo "$candidate"; return; fi
    done
}

if ! [ -x "$venv/bin/python" ]; then
    python=$(find_python)
    if [ -n "$python" ]; then
        echo "Making $venv with $("$python" --version) ..."
        "$python" -m venv "$venv"
    elif command -v uv >/dev/null 2>&1; then
        echo "Making $venv with Python 3.12 through uv ..."
        uv venv -q --seed --python 3.12 "$venv"
    else
        echo "Undertone needs Python 3.10, 3.11 or 3.12 (its engine has no wheels for others); found: $(python3 --version 2>/dev/null || echo none). Install one, or install uv (pip install uv) and run this again." >&2
        exit 1
    fi
elif ! fits "$venv/bin/python"; then
    echo "$venv was made with $("$venv/bin/python" --version 2>&1), Undertone needs Python 3.10, 3.11 or 3.12: remove it (make clean) and run this again." >&2
    exit 1
fi
echo "Installing the packages of $lock (once) ..."
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r "$lock"
