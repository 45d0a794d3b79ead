#!/usr/bin/env bash
# What to measure on a GPU that is there for half an hour, most important first. Each part ends in its time, and what it
# measured up to then is in FOLDER.
#
#   bench/gpu_lease.sh FOLDER [SECONDS]     SECONDS: time for all parts (default: 1500)
#
# $PYTHON names the Python to use (default: python3). The models take 30 GB in a temporary folder.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(realpath -m "${1:?usage: bench/gpu_lease.sh FOLDER [SECONDS]}") left=${2:-1500} PYTHON=${PYTHON:-python3}
export HF_HUB_OFFLINE=${HF_HUB_OFFLINE:-1} TOKENIZERS_PARALLELISM=false PYTHONUNBUFFERED=1
mkdir -p "$folder"
models=$(mktemp -d)
trap 'rm -rf "$models"' EXIT

part() {  # part NAME SECONDS MODULE ARGUMENTS: one part, which may fail without ending the others
    local name=$1 limit=$(($2 < left - SECONDS ? $2 : left - SECONDS))
    if ((limit < 20)); then echo "$name: no time left"; return; fi
    echo "$name: at most $limit s"
    timeout "$limit" "$PYTHON" -m "${@:3}" >"$folder/$name.txt" 2>&1 || echo "$name: exit code $?, see $folder/$name.txt"
}

nvidia-smi >"$folder/machine.txt"
part tests 120 pytest -q tests/test_cuda.py
part decoding 120 bench.decoding --device cuda --results "$folder/decoding.md"
part bf16 180 bench.gpu_check --device cuda --synthetic --llms large --precisions bf16 --batch_size 64 --captions 96 \
    --scratch "$models/check" --results "$folder/bf16.md"
part quantised 240 bench.gpu_check --device cuda --synthetic --llms large --precisions 8-bit 4-bit --captions 96 \
    --scratch "$models/check" --results "$folder/quantised.md"
part speed 600 bench.speed --device cuda --stages stage3 inference stage1 --repeats 1 --results "$folder/speed.md"
