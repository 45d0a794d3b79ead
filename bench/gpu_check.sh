#!/usr/bin/env bash
# Finetuning and inference on a GPU in bf16, in 8 bit + LoRA and in 4 bit + LoRA; numbers go to bench/RESULTS.md.
#
#   bench/gpu_check.sh                              one CUDA GPU, on runs/demo (made by recipes/demo.sh where absent)
#   bench/gpu_check.sh --data FOLDER                on a data set folder that prepare_data.py made elsewhere
#   bench/gpu_check.sh --synthetic                  on drawn pictures and made-up EEG, where mne is not installed
#   bench/gpu_check.sh --device cpu --tiny          a tiny model on a CPU, in seconds
#   bench/gpu_check.sh --help                       everything else
#
# Paths count from the project's root; $PYTHON names another Python than python3. On a machine without network that has
# torch, transformers, accelerate and peft, bring the rest as wheels, made where there is a network, and name their
# folder; they are unpacked into a temporary folder, so the machine's own packages stay as they are:
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
