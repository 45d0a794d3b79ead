#!/usr/bin/env bash
# The default encoder beside other networks and all baselines: recipes/benchmark_encoders.sh [N170_FOLDER [UCI_FILE
# [RUN_FOLDER]]]. It needs requirements-encoders.txt, and takes some hours on two cores. A run that was stopped goes on.
# N170_FOLDER holds the recordings, at any depth, and stimuli/{faces,houses}. Ends with 1 where the whole interval of the
# default encoder minus the best baseline is below 0.
set -euo pipefail
N170=${1:-../shared/data/n170}
UCI=${2:-../shared/data/uci/uci_picture_evoked.npz}
RUN=${3:-runs/encoders}
SNRS=(0.05 0.1 0.2 0.4)

python prepare_data.py n170 --recordings "$N170" --stimuli "$N170/stimuli" --output "$RUN/n170"
python prepare_data.py uci --file "$UCI" --output "$RUN/uci"
for snr in "${SNRS[@]}"; do
    python prepare_data.py simulated --output "$RUN/simulated_$snr" --snr "$snr" --n_subjects 2 --val_fraction 0.1 \
        --test_fraction 0.2 --seed 0
done
python -m recipes.benchmark_encoders --output "$RUN/folds" --n170 "$RUN/n170" --uci "$RUN/uci" \
    --simulated "${SNRS[@]/#/$RUN/simulated_}"
