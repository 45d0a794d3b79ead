#!/usr/bin/env bash
# Measures finetuning with LoRA and inference on a GPU in bf16, 8 bit and 4 bit. The numbers go to bench/RESULTS.md.
#
#   bench/gpu_check.sh                              one CUDA GPU, with demo/simulated (recipes/demo.sh makes it if absent)
#   bench/gpu_check.sh --data FOLDER                with another data set folder of prepare_data.py
#   bench/gpu_check.sh --synthetic                  with drawn pictures and noise as EEG; does not need mne
#   bench/gpu_check.sh --device cpu --tiny          with a tiny LLM on a CPU, in seconds
#   bench/gpu_check.sh --help                       all options
#
# Paths are relative to the project's root. $PYTHON names the Python to use (default: python3).
#
# A machine without a network needs torch, transformers, accelerate and peft. Download the other packages as wheels on a
# machine with a network, copy their folder, and name it with --wheels. They are unpacked into a temporary folder, so the
# installed packages do not change:
#
#   pip download --no-deps --only-binary=:all: --python-version 3.12 --platform manylinux_2_24_x86_64 -d wheels \
#       bitsandbytes open_clip_torch ftfy wcwidth
#   bench/gpu_check.sh --wheels wheels
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
export HF_HUB_OFFLINE=${HF_HUB_OFFLINE:-1} TOKENIZERS_PARALLELISM=false

arguments=()
while (($#)); do
    case $1 in
        --wheels | --wheels=*)
            if [[ $1 == *=* ]]; then wheels=${1#*=}; else wheels=${2:?--wheels needs a folder}; shift; fi
            packages=$(mktemp -d)
            trap 'rm -rf "$packages"' EXIT
            "$PYTHON" -m pip install --quiet --no-index --no-deps --target "$packages" "$wheels"/*.whl
            export PYTHONPATH=$packages${PYTHONPATH:+:$PYTHONPATH}
            ;;
        *) arguments+=("$1") ;;
    esac
    shift
done
"$PYTHON" -m bench.gpu_check "${arguments[@]}"
