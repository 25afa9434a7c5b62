#!/bin/sh
# What a machine with a GPU can show in 8 minutes, where there is Python 3.12 with torch, torchvision and timm and no network.
#
#   tests/benchmarks/gpu.sh collect WHEELS            on a machine with a network: the missing packages, as wheels, into a folder
#   tests/benchmarks/gpu.sh run WHEELS OUT.json [--device cpu --small]      there: installs them beside the others, and measures
#
# PYTHON names the interpreter (default: python3). Nothing of the machine's own packages is changed.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
python=${PYTHON:-python3}

case "${1:-}" in
collect)
    mkdir -p "$2"
    # three of them are published as sources only, of pure Python; their wheels fit every machine
    "$python" -m pip wheel --quiet --no-deps --wheel-dir "$2" fvcore iopath pytorchvideo
    grep -v -x -e fvcore -e iopath -e pytorchvideo "$here/gpu_wheels.txt" > "$2/others.txt"
    "$python" -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.12 --implementation cp --abi cp312 \
        --abi none --platform manylinux_2_28_x86_64 --platform manylinux2014_x86_64 --platform manylinux_2_17_x86_64 \
        --platform any --dest "$2" --constraint "$root/requirements.txt" --requirement "$2/others.txt"
    rm "$2/others.txt"
    ls "$2"
    ;;
run)
    wheels=$2 out=$3
    shift 3
    added=$(mktemp -d)
    trap 'rm -rf "$added"' EXIT
    "$python" -m pip install --quiet --no-index --no-deps --find-links "$wheels" --target "$added" \
        --requirement "$here/gpu_wheels.txt"
    PYTHONPATH="$root:$added" "$python" -m tests.benchmarks.gpu --out "$out" "$@"
    ;;
*)
    sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
