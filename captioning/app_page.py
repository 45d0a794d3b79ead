"""The app's page, built with Gradio: choose a model and a trial of a data set or of your own recording, and see what is
read."""


from runtime.errors import InputError

import gradio
from markupsafe import escape

from captioning.app_trials import Source, first_test_trial, of_data_set, of_recording, view
from captioning.captioner import Captioner
from report import read_beside

UNKNOWN = ("No report of this model was given (--results), so nothing may be claimed of it. A fluent caption is no proof "
           "of a reading.")


class Models:
    """The models to choose from. Each is loaded when it is chosen first."""

    def __init__(self, places: list[str], data: str | None, device: str, llm: str | None, results: str | None):
        self.places, self.data, self.device, self.llm = places, data, device, llm
        self.results = read_beside(results, "--results")[1] if results else None
        self.loaded, self.sources = {}, {}

    def captioner(self, name: str) -> Captioner:
        if name not in self.loaded:
            self.loaded[name] = Captioner(name, self.device, llm=self.llm)
        return self.loaded[name]

    def data_set(self, name: str) -> Source:
        if self.data is None:
            raise InputError("--eeg_dataset: none was given when the app was started; drop a recording instead")
        if name not in self.sources:
            self.sources[name] = of_data_set(self.captioner(name), self.data)
        return self.sources[name]

    def claim(self, name: str) -> str:
        """What may be said of a model, as HTML."""
        studies = self.results["studies"] if self.results else []
        own = [one for one in studies if one.get("model") == self.captioner(name).key]
        claims = [one["claim"] if len(own) == 1 else f"{one.get('split')} part, prompt {one.get('prompt')}: {one['claim']}"
                  for one in own]  # a study for each part of the split and prompt
        text = " ".join(claims) or UNKNOWN
        simulated = any((one.get("eeg") or {}).get("simulated") for one in own) or self.captioner(name).knows_simulated_eeg
        return f"<p><strong>{'The EEG of this model is simulated. ' if simulated else ''}</strong>{escape(text)}</p>"


def _told(function):
    """A handler whose InputError is shown as a message."""
    def handler(*given):
        try:
            return function(*given)
        except InputError as error:
            raise gradio.Error(str(escape(str(error))), duration=None) from None

    return handler


def build(models: Models) -> gradio.Blocks:
    """The page."""
    first = models.places[0]
    trials = models.data_set(first) if models.data else None
    start, last = (first_test_trial(trials), len(trials.what) - 1) if trials else (0, 0)
    with gradio.Blocks(title="EEG to text", analytics_enabled=False) as page:
        gradio.Markdown("# EEG to text\nA sentence about the picture that a person saw, read from their EEG, beside what "
                        "the same model writes without it.")
        model = gradio.Dropdown(models.places, value=first, label="Model", interactive=True)
        claim = gradio.HTML(models.claim(first), elem_id="claim", label="What may be claimed")
        recorded = gradio.State(None)
        with gradio.Tabs():
            with gradio.Tab("Trial of the data set", visible=models.data is not None):
                number = gradio.Number(start, label=f"Trial, 0 to {last}", precision=0, minimum=0, elem_id="trial")
                show = gradio.Button("Caption this trial", variant="primary", elem_id="show")
            with gradio.Tab("Your recording"):
                files = gradio.File(file_count="multiple", label="Recording, with all files that belong to it",
                                    elem_id="files")
                onsets = gradio.Textbox("", label="Onsets: seconds such as 3.0 4.5, or every 1.0; empty for its own events",
                                        elem_id="onsets")
                read = gradio.Button("Caption this recording", variant="primary", elem_id="read")
                place = gradio.Number(0, label="Trial of the recording to show: its number, then Enter", precision=0,
                                      minimum=0, elem_id="place")
        result = gradio.HTML(elem_id="result", label="Result", padding=False)
        gradio.on([show.click, number.submit], _told(lambda name, row: view(
            models.captioner(name), models.data_set(name), int(row or 0))), [model, number], result)
        read.click(_told(lambda name, given, text: _read(models, name, given, text)), [model, files, onsets],
                   [recorded, result])
        place.submit(_told(lambda name, source, row: view(models.captioner(name), _given(source), int(row or 0))),
                     [model, recorded, place], result)
        model.change(_told(lambda name: (models.claim(name), "", None)), model, [claim, result, recorded])  # of another one
        if models.data:
            page.load(_told(lambda name: view(models.captioner(name), models.data_set(name), start)), model, result)
    return page


def _read(models, name, files, onsets):
    source = of_recording(models.captioner(name), files or [], onsets)
    return source, view(models.captioner(name), source, 0)


def _given(source):
    if source is None:
        raise InputError("no recording has been read yet; drop one and caption it first")
    return source
