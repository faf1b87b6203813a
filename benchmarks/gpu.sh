#!/bin/sh
# Measures a machine with an NVIDIA GPU; about half an hour. Commit the two files it names.
set -eu
cd "$(dirname "$0")/.."
command -v nvidia-smi >/dev/null || { echo "no nvidia-smi here: this script needs a GPU"; exit 1; }
make install
name=$(nvidia-smi --query-gpu=name --format=csv,noheader | head -n 1 | tr -c 'A-Za-z0-9\n' '_')
.venv/bin/python benchmarks/gpu.py --to "docs/results/gpu_$name.json"
{ time -p .venv/bin/kedro run; } 2> "docs/results/gpu_${name}_demo.txt"
.venv/bin/python -m pytest -q tests/training/test_loop.py tests/training/test_devices.py
echo "Written: docs/results/gpu_$name.json docs/results/gpu_${name}_demo.txt"
