#!/bin/sh
# Installs Tocsin from this folder into a new virtual environment, without a network.
#   sh install.sh [FOLDER]        FOLDER is where it goes; ./tocsin without it
set -eu
here=$(cd "$(dirname "$0")" && pwd)
target=${1:-tocsin}
python=${PYTHON:-python3}

cd "$here"
sha256sum --check --quiet SHA256SUMS || {
    echo "A file is not what it was when it was packed: nothing is installed." >&2
    exit 1
}
cd - >/dev/null
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed." >&2; exit 1; }
"$python" -m venv "$target"
pip="$target/bin/python -m pip --disable-pip-version-check install --quiet --no-index --find-links $here/packages"
$pip --require-hashes --no-deps -r "$here/run.txt"
$pip --no-deps "$here"/tocsin-*.whl
"$target/bin/tocsin" rules lint
echo "Installed in $target. Next: $target/bin/tocsin doctor" >&2
