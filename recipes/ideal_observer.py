"""What an observer who knows the simulation could tell: the class from EEG whose templates and noise are known.

An upper limit of the simulated data: each person's response to each picture and the covariance of the background are taken
from the simulation, so the likelihood of every picture, and their sum over each class, can be computed.
"""

import numpy as np

FLOOR = 1e-3  # least eigenvalue of a covariance, in mean eigenvalues


def _inverse_root(covariance):
    values, vectors = np.linalg.eigh(covariance)
    values = np.maximum(values, FLOOR * values.mean())
    return vectors * values ** -.5 @ vectors.T


def ideal_accuracy(folder: str) -> tuple[float, float]:
    """(SNR, balanced accuracy on the test pictures) for a data set folder of the simulator.

    The noise is whitened over channels and over time, as if its covariance were a product of the two.
    """
    import mne

    from eegdata.dataset_folder import read_record
    from eegdata.splits import load_split
    from eegdata.trials import load_trials
    from metrics.classification import balanced_accuracy
    from sources import drawings
    from sources.simulated import simulate_recording

    made, trials = read_record(folder)["about"], load_trials(folder)
    scenes = drawings.sample_scenes(made["n_pictures"], made["seed"], made["classes"])
    kind = np.array([made["classes"].index(scene.kind) for scene in scenes])
    tested = set(trials.names(load_split(f"{folder}/splits.pth", trials)["test"]))
    window = np.arange(round(made["tmax"] * made["sfreq"]))
    labels, said = [], []
    for subject in trials.subject.unique().tolist():
        seed = made["seed"], subject
        silent, shown = (simulate_recording(scenes, made["trials_per_picture"], snr, made["sfreq"], seed)
                         for snr in (0., made["snr"]))
        parts = (silent["data"], shown["data"] - silent["data"])
        noise, response = (mne.filter.filter_data(part, made["sfreq"], *made["band"], verbose="error")
                           [:, silent["onset"][:, None] + window].transpose(1, 0, 2) for part in parts)
        space = _inverse_root(np.einsum("nct,ndt->cd", noise, noise, optimize=True) / len(noise) / len(window))
        whitened = np.einsum("cd,ndt->nct", space, noise)
        time = _inverse_root(np.einsum("nct,ncu->tu", whitened, whitened, optimize=True) / len(noise) / len(space))
        templates, eeg = (np.einsum("cd,ndt,tu->ncu", space, part, time, optimize=True).reshape(len(noise), -1)
                          for part in (response, noise + response))
        image = silent["image"]
        likelihood = eeg @ templates.T - .5 * (templates ** 2).sum(1)
        by_class = [np.logaddexp.reduce(likelihood[:, kind[image] == k], 1) for k in range(len(made["classes"]))]
        scored = np.array([f"{scenes[i].kind}_{i:04d}" in tested for i in image])
        labels.append(kind[image][scored])
        said.append(np.stack(by_class, 1).argmax(1)[scored])
    return made["snr"], float(balanced_accuracy(np.concatenate(labels), np.concatenate(said)))
