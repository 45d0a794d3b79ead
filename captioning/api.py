"""The captioner for notebooks and other programs: `from captioning import Captioner`."""

import tempfile
import warnings
from argparse import Namespace
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from runtime import hub, small_models
from runtime.errors import InputError
from runtime.options import generation_options, idle_sampling, resolve_device

import numpy as np
import torch

from captioning import captioner, model_card
from captioning.given_trials import MICROVOLTS, fitted, of_array, of_epochs
from captioning.readings import readings
from captioning.requests import GREEDY, Request, check_values
from eegdata.data_paths import find_data
from eegdata.preprocessing_schema import Preprocessing
from eegdata.trials import load_trials
from encoders import fit_to_encoder
from encoders.centre import centre_recording
from encoders.confidence import confidence_text
from encoders.preprocessing import preprocessing_of, window_in
from metrics.conditions import OF_UNKNOWN

if TYPE_CHECKING:
    import mne
    import pandas

LOADINGS = ("as trained", "8bit", "4bit", None)
SAMPLING = {"temperature": 1., "top_p": 1.}  # that the options of inference.py have beside GREEDY


class Captioner(captioner.Captioner):
    """Reads trials of EEG and writes a caption for each.

    Load one with `from_pretrained`. A caption is fluent whatever the EEG holds: look at `probability`, at the captions of
    noise (`controls`), and at the report of the model.

    Attributes
    ----------
    folder : pathlib.Path
        Where the model lies on this machine.
    class_names : dict of int to str
        The classes that the encoder tells apart.
    preprocessing : Preprocessing or None
        How recordings became the trials that the model was trained on.
    confidence : str
        From which probability on a reading counts as confident.

    Examples
    --------
    >>> from captioning import Captioner
    >>> reader = Captioner.from_pretrained("runs/mine/captioner")
    >>> reader.caption(epochs, controls=["noise"])
    """

    @classmethod
    def from_pretrained(cls, name: str | Path, *, device: str = "auto", dtype: torch.dtype | None = None,
                        loading: str | None = "as trained", llm: str | None = None) -> "Captioner":
        """Load a captioner from a folder or the Hub.

        Parameters
        ----------
        name : str or Path
            A folder that `finetune_llm.py` wrote, or a Hub id such as ``org/name``, perhaps with a subfolder.
        device : str
            ``cpu``, ``cuda``, ``cuda:1`` or ``auto``.
        dtype : torch.dtype, optional
            Type of the LLM's numbers. By default float32 on a CPU, else that of its checkpoint.
        loading : {"as trained", "8bit", "4bit", None}
            How the LLM is loaded.
        llm : str, optional
            Where the base LLM lies now, or ``small`` as the option ``--llm`` has it. By default the place that the
            captioner names.

        Returns
        -------
        Captioner

        Raises
        ------
        InputError
            If there is no captioner, or it is damaged, or an argument is none of these.
        """
        if loading not in LOADINGS:
            raise InputError(f"loading: {loading!r}, expected one of {', '.join(map(repr, LOADINGS))}")
        if dtype is not None and not isinstance(dtype, torch.dtype):
            raise InputError(f"dtype: {dtype!r}, expected a type of torch, such as torch.bfloat16, or None")
        if llm is not None:
            llm = small_models.llm(str(llm))
            small_models.check_llm(llm, "llm")
        return cls(name, resolve_device(device), dtype, loading, llm)

    @property
    def preprocessing(self) -> Preprocessing | None:
        """How recordings became the trials that the model was trained on; None where it does not say."""
        config = self.model.encoder.config
        return preprocessing_of(config, self.folder) if config.preprocessing else None

    @property
    def confidence(self) -> str:
        """From which probability on a reading counts as confident, and what is known of such readings."""
        return confidence_text(self.model.encoder.config)

    def caption(self, eeg: "mne.BaseEpochs | np.ndarray | str | Path", *, sfreq: float | None = None,
                ch_names: list[str] | None = None, tmin: float | None = None, units: str = "uV", interpolate: bool = False,
                controls: tuple[str, ...] | list[str] = (), abstain_below: float | None = None, words: int = 3,
                prompt: str | None = None, batch_size: int | None = None, seed: int = 42,
                **generation: object) -> "pandas.DataFrame":
        """Caption trials.

        Channels are matched by name, then reference, baseline, window and scale are settled as the model keeps them.
        Filters need the continuous recording: filter it as `preprocessing` says before you cut it, or give it to
        ``caption.py``.

        Parameters
        ----------
        eeg : mne.Epochs, array of shape (n, C, T), str or Path
            Trials, or a data set folder of ``prepare_data.py``, of which all trials are captioned.
        sfreq : float, optional
            Sampling rate of an array in Hz. It must be the model's.
        ch_names : list of str, optional
            Names of the channels of an array.
        tmin : float, optional
            Seconds from the onset to the first sample of an array. May be left out if the array has the length of the
            model's own trials, or of the window in them that the encoder takes.
        units : {"uV", "V", "standardised"}
            Unit of an array. `mne.Epochs` are in volts. "standardised" is scaled as the model's own data, and has their
            reference.
        interpolate : bool
            Whether missing channels are made from the others. By default they are an error. In a
            data set folder missing channels are always interpolated, as in all stages, and a line says so.
        controls : sequence of {"noise", "noise+label", "label", "nothing"}
            What else to write beside each caption: what the same model says without this EEG.
        abstain_below : float, optional
            Probability of the class below which a trial gets no caption. By default the threshold that was
            measured on the model's validation trials (`encoders.confidence`).
        words : int
            Number of classes that are listed with their probabilities.
        prompt : str, optional
            Your own instruction to the LLM. By default that of the training.
        batch_size : int, optional
            Captions written at a time. By default what fits.
        seed : int
            Random seed of noise and sampling.
        **generation
            `max_new_tokens`, `min_new_tokens`, `repetition_penalty`, `do_sample`, `temperature`, `top_p`, `guidance`,
            `candidates`, as the options of ``inference.py``.

        Returns
        -------
        pandas.DataFrame
            A row for each trial: `trial` and what else is known of it, `caption`, `class`, `probability`, `words` (a list
            of (class, probability)), and `caption_<control>` for each control.

        Raises
        ------
        InputError
            If rate, channels, units or window do not fit the model, or an argument is not known or out of range.
        """
        import pandas

        if isinstance(controls, str) or not isinstance(controls, Collection):
            raise InputError(f"controls: {controls!r}, expected a list of {', '.join(OF_UNKNOWN)}, empty for none")
        unknown = [one for one in controls if one not in OF_UNKNOWN] + sorted(set(generation) - set(GREEDY | SAMPLING))
        if unknown:
            raise InputError(f"{unknown[0]}: not known; controls is a list of {', '.join(OF_UNKNOWN)}, and generation "
                             f"takes {', '.join(GREEDY | SAMPLING)}")
        check_values({"prompt": prompt, "abstain_below": abstain_below, "words": words, "batch_size": batch_size,
                      "seed": seed, **generation})
        asked = Namespace(**{**GREEDY, **SAMPLING, **generation})
        request = Request(prompt, tuple(controls), abstain_below, words, batch_size, seed, generation_options(asked))
        if idle := idle_sampling(asked):
            warnings.warn(idle.removeprefix("note: "), UserWarning, stacklevel=2)
        of_arrays = {"sfreq": sfreq is not None, "ch_names": ch_names is not None, "tmin": tmin is not None,
                     "units": units not in (("uV",) if isinstance(eeg, str | Path) else tuple(MICROVOLTS))}
        if (isinstance(eeg, str | Path) or hasattr(eeg, "get_data")) and any(of_arrays.values()):
            name = next(name for name, given in of_arrays.items() if given)
            raise InputError(f"{name}: has no effect with mne.Epochs or a data set folder, which tell it themselves; leave "
                             "it out, or give an array")
        if isinstance(eeg, str | Path):
            trials, rows = self._of_folder(eeg)
        else:
            trials, rows = self._of_trials(eeg, sfreq, ch_names, tmin, units, interpolate)
        return pandas.DataFrame({**rows, **readings(self, trials, request)})

    def _of_folder(self, folder):
        """EEG of a data set folder, and columns that describe its trials."""
        place, config = find_data(str(folder), needed=()).eeg_dataset, self.model.encoder.config
        trials = load_trials(place, *window_in(config, place))
        fit_to_encoder(config, trials, "eeg")
        rows = {"trial": trials.trial.tolist(), "subject": trials.subject.tolist()}
        if trials.onset is not None:
            rows["time"] = trials.onset.tolist()
        if trials.knows_pictures:
            rows["picture"] = trials.names(slice(None))
        return trials.eeg, rows

    def _of_trials(self, eeg, sfreq, ch_names, tmin, units, interpolate):
        kept = self.preprocessing
        given = of_epochs(eeg, kept) if hasattr(eeg, "get_data") else of_array(eeg, sfreq, ch_names, tmin, units)
        made = fitted(given, self.model.encoder.config, kept, interpolate)
        for note in dict.fromkeys(given.notes):
            warnings.warn(note, UserWarning, stacklevel=3)
        return torch.from_numpy(centre_recording(made, self.model.encoder.config, "eeg")), given.rows

    def save_pretrained(self, folder: str | Path, *, results: str | Path | None = None, licence: str | None = None) -> Path:
        """Write the model with its card, README.md, to a new folder; never the weights of the base LLM.

        Parameters
        ----------
        folder : str or Path
            Where to write.
        results : str or Path, optional
            results.json of `evaluate.py --report`, from which the card has the claim and the scores.
        licence : str, optional
            Licence of the model by its short name, such as ``mit``.

        Returns
        -------
        pathlib.Path
            The folder.
        """
        return model_card.save_model(self.folder, folder, results, licence)

    def push_to_hub(self, repository: str, *, private: bool = False, results: str | Path | None = None,
                    licence: str | None = None) -> None:
        """Upload the model with its card to the Hub, from where `from_pretrained` loads it.

        Parameters
        ----------
        repository : str
            ``org/name``, created if absent.
        private : bool
            Whether the repository is made private.
        results, licence
            As in `save_pretrained`.
        """
        with tempfile.TemporaryDirectory() as folder:
            model = model_card.save_model(self.folder, Path(folder) / "model", results, licence, repository)
            hub.upload(model, repository, "model", private)
