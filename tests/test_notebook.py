"""notebooks/colab.ipynb on the tiny data set: its cells, whose scripts run in this process; once as Jupyter executes it."""

import glob
import importlib
import json
import shlex

from runtime.small_models import SMALL

import nbclient
import nbformat
import pandas
import pytest

from metrics.conditions import NAMES
from notebook_runs import ROOT, execute, give_kernel, read_notebook
from recipes import make_small_clip

STAGES = ("train_eeg_classifier.py", "test_eeg_classifier.py", "finetune_llm.py", "inference.py", "inference_chance.py",
          "evaluate.py")


@pytest.fixture
def notebook():
    return read_notebook("colab.ipynb")


@pytest.fixture
def run_cells(notebook, monkeypatch):
    """A function that runs the code of all cells with some of the parameters changed, and returns their variables."""
    monkeypatch.chdir(ROOT)

    def call(command):
        words = shlex.split(command.replace("\\\n", " "))
        assert words[0] == "python" and words[1].endswith(".py"), command
        argv = [file for word in words[2:] for file in (sorted(glob.glob(word)) if "*" in word else [word])]
        importlib.import_module(words[1].removesuffix(".py")).main(argv)

    def run(**parameters):
        variables = {}
        for cell in notebook.cells:
            if cell.cell_type == "code":
                exec(cell.source, variables)
                if "parameters" in cell.metadata.get("tags", []):
                    variables |= parameters
                if "run" in variables:
                    variables["run"] = call
        return variables

    return run


def test_as_it_is_stored(notebook):
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert notebook.nbformat == 4 and all(not cell.outputs and cell.execution_count is None for cell in code)
    text = "\n".join(cell.source for cell in code)
    places = [text.index(f"python {'-m ' if '.py' not in stage else ''}{stage} ") for stage in STAGES]
    assert places == sorted(places)
    parameters = {}
    exec(next(cell.source for cell in code if "parameters" in cell.metadata.get("tags", [])), parameters)
    assert (parameters["LLM"], parameters["PRECISION"], parameters["MODEL_PATH"]) == (SMALL, "", "")
    assert set(parameters["CONDITIONS"].split()) == {*NAMES} - {"eeg+label", "eeg", "oracle_label"}


@pytest.mark.slow
def test_every_stage_runs(run_cells, data, clip, llm, tmp_path):
    variables = run_cells(
        RUN_ON_COLAB=False, DATA="folder", EEG_DATASET=str(data / "eeg.pth"), SPLITS=str(data / "splits.pth"),
        IMAGES=str(data / "images"), CLIP_MODEL=str(clip), LLM=str(llm), NUM_EPOCHS=2,
        NUM_EPOCHS_IMAGE=1, NUM_EPOCHS_EEG=1, CONDITIONS="shuffled_within_class label", MAX_NEW_TOKENS=4,
        RUN=str(tmp_path / "run"))
    results = tmp_path / "run" / "results"
    names = {"captions.csv": "eeg+label", "captions_shuffled_within_class.csv": "shuffled_within_class",
             "captions_label.csv": "label"}
    assert {path.name for path in results.iterdir()} == {*names, *(f"{name}.json" for name in names)}
    for name, condition in names.items():
        table = pandas.read_csv(results / name, keep_default_na=False)
        assert len(table) == 24 and set(table["condition"]) == {condition}
    study = json.loads((tmp_path / "run" / "results.json").read_text())["studies"][0]
    assert {name: (24, condition) for name, condition in names.items()}.items() <= {
        entry["source"]: (entry["n"], entry["condition"]) for entry in study["conditions"]}.items()
    assert (tmp_path / "run" / "scores.png").stat().st_size and (tmp_path / "run" / "report.html").stat().st_size
    assert "Generated Caption" in variables["table"].columns and len(variables["table"]) == 24
    assert len(variables["page"]) > 10_000


@pytest.mark.slow
def test_resume_goes_on_where_it_was_stopped(run_cells, data, clip, llm, tmp_path, stopped):
    """With RESUME the first stage was refused where it had come to its end, so that the next ones could not go on."""
    given = {"RUN_ON_COLAB": False, "DATA": "folder", "EEG_DATASET": str(data / "eeg.pth"), "IMAGES": str(data / "images"),
             "SPLITS": str(data / "splits.pth"), "CLIP_MODEL": str(clip), "LLM": str(llm), "NUM_EPOCHS": 2,
             "BATCH_SIZE": 30, "NUM_EPOCHS_IMAGE": 1, "NUM_EPOCHS_EEG": 3, "CONDITIONS": "label", "MAX_NEW_TOKENS": 4,
             "RUN": str(tmp_path / "run")}
    encoder, checkpoints = tmp_path / "run" / "eeg_encoder", tmp_path / "run" / "captioner" / "checkpoints" / "stage3"
    stopped(1, lambda: run_cells(**given, RESUME=""))  # in stage 1
    stopped(7, lambda: run_cells(**given, RESUME="--resume"))  # in stage 3, after 2 steps of stage 1 and 1 of stage 2
    assert (checkpoints / "checkpoint-2" / "whole").is_file()
    before = (encoder / "model.safetensors").stat().st_mtime_ns
    run_cells(**given, RESUME="--resume")
    assert (tmp_path / "run" / "report.html").is_file() and not checkpoints.exists()
    captioner = (tmp_path / "run" / "captioner" / "args.json").stat().st_mtime_ns
    run_cells(**given, RESUME="--resume")  # nothing is left to train
    assert (tmp_path / "run" / "captioner" / "args.json").stat().st_mtime_ns == captioner
    assert (encoder / "model.safetensors").stat().st_mtime_ns == before


def test_the_small_clip_is_made_of_the_split_and_pictures_of_a_pth_file(notebook, data):
    """The cell gave the data set alone, and the recipe refused a .pth file for want of its splits."""
    given = {"RUN_ON_COLAB": False, "DATA": "folder", "EEG_DATASET": str(data / "eeg.pth"), "CLIP_MODEL": SMALL,
             "SPLITS": str(data / "splits.pth"), "IMAGES": str(data / "images")}
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    place = next(i for i, source in enumerate(code) if "make_small_clip" in source)
    variables, commands = {}, []
    for source in code[:place]:
        exec(source, variables)
        variables |= given
    exec(code[place], variables | {"run": commands.append})
    words = shlex.split(next(command for command in commands if "make_small_clip" in command))
    assert words[3:] == ["--eeg_dataset", given["EEG_DATASET"], "--splits_path", given["SPLITS"], "--image_dir",
                         given["IMAGES"]]
    make_small_clip.parse(words[3:])


def test_a_trained_captioner_skips_the_stages(run_cells, data, captioner, tmp_path):
    run_cells(RUN_ON_COLAB=False, DATA="folder", EEG_DATASET=str(data / "eeg.pth"), SPLITS=str(data / "splits.pth"),
              IMAGES=str(data / "images"), MODEL_PATH=str(captioner), CONDITIONS="label", MAX_NEW_TOKENS=4,
              RUN=str(tmp_path / "run"))
    assert sorted(path.name for path in (tmp_path / "run").iterdir() if path.is_dir()) == ["results"]
    assert (tmp_path / "run" / "report.html").stat().st_size


def test_as_jupyter_runs_it_a_stage_that_fails_stops_it(notebook, llm, tmp_path, monkeypatch):
    give_kernel(tmp_path, monkeypatch)
    with pytest.raises(nbclient.exceptions.CellExecutionError, match=r"absent: no such file"):
        execute(notebook, RUN_ON_COLAB=False, DATA="folder", DATA_FOLDER=str(tmp_path / "absent"), LLM=str(llm),
                RUN=str(tmp_path / "run"))
    assert not (tmp_path / "run" / "captioner").exists()
