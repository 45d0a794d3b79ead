"""app.py in headless Chromium: a trial, a dropped recording, by keyboard, in both widths and both colour schemes."""

import time
from types import SimpleNamespace

from runtime.errors import InputError

import numpy as np
import pytest

from captioning import app_trials
from captioning.captioner import Captioner
from raw_material import ONSETS


@pytest.fixture(scope="module")
def captioner(study):
    return Captioner(study[2], "cpu")


def test_a_trial_of_the_data_set(captioner, study):
    source = app_trials.of_data_set(captioner, study[1])
    row = app_trials.first_test_trial(source)
    assert "of the test part" in source.what[row] and "of the training part, so the model knows it" in source.what[0]
    page = app_trials.view(captioner, source, row)
    assert page.count("<svg") == 4 and all(f">{name}</th>" in page for name in ("eeg+label", "noise", "nothing", "label"))
    assert "Class probabilities" in page and "mean of" in page
    with pytest.raises(InputError, match="there are trials 0 to 27"):
        app_trials.view(captioner, source, 28)
    page = app_trials.view(Captioner(study[2], "cpu", label="none"), source, row)
    assert ">noise</th>" in page and ">label</th>" not in page  # which would be nothing by another name


def test_figures_name_the_channels_of_the_data_set(study):
    """A model with another order of channels put its names on them."""
    turned = Captioner(study[2], "cpu")
    config = turned.model.encoder.config
    own = list(config.ch_names)
    config.ch_names = own[::-1]
    source = app_trials.of_data_set(turned, study[1])
    assert source.ch_names == own and np.allclose(source.eeg[0], np.asarray(source.figures[0])[::-1, 20:])


def test_a_recording(captioner, study, expected):
    source = app_trials.of_recording(captioner, [str(study[0])], "")
    assert len(source.what) == len(expected) and [row[1] for row in source.rows] == [f"{onset:.3f} s" for onset in ONSETS]
    assert np.array_equal(np.asarray(source.eeg[0]), app_trials.of_recording(
        captioner, [str(study[0])], " ".join(map(str, ONSETS))).eeg[0])
    assert len(app_trials.of_recording(captioner, [str(study[0])], "every 2").what) == 20
    assert "cat at 3.000 s of made_raw.fif." in app_trials.view(captioner, source, 0)


@pytest.mark.parametrize("files, onsets, named", [
    (["events.tsv"], "", "none is a recording"), ([], "", "no file"), (["made"], "often", "expected seconds"),
    (["made"], "every", "expected seconds"), (["made"], "99", "outside the recording")])
def test_what_cannot_be_read_is_one_sentence(captioner, study, tmp_path, files, onsets, named):
    (tmp_path / "events.tsv").write_text("onset\n3\n")
    given = [str(study[0] if name == "made" else tmp_path / name) for name in files]
    with pytest.raises(InputError, match=named) as told:
        app_trials.of_recording(captioner, given, onsets)
    assert "/tmp/tmp" not in str(told.value)


@pytest.mark.parametrize("names, named", [
    (["x.edf", "x.edf"], "x.edf: was dropped 2 times"),
    (["x.edf", "y.edf"], "y.edf: would not be read beside x.edf"), (["x.csv", "x.edf"], "x.csv: would not be read"),
    (["x.edf", "events.tsv"], "events.tsv: would not be read beside x.edf; .* x_events.tsv"),
    (["x.vhdr", "x.eeg", "x.vmrk", "sub-1_eeg.vhdr"], "sub-1_eeg.vhdr: would not be read")])
def test_no_dropped_file_is_left_out_without_a_word(names, named):
    """Of two files of one name the last was read, of two recordings the first."""
    with pytest.raises(InputError, match=named):
        app_trials._recording_among(names)


@pytest.mark.parametrize("names, main", [
    (["x_raw-1.fif", "x_raw.fif"], "x_raw.fif"), (["x-1-1.fif", "x-1.fif"], "x-1.fif"),
    (["x_split-02_eeg.fif", "x_split-01_eeg.fif"], "x_split-01_eeg.fif"),
    (["sub-1_eeg.eeg", "sub-1_events.tsv", "sub-1_eeg.vhdr"], "sub-1_eeg.vhdr"), (["X.SET", "x.fdt"], "X.SET")])
def test_a_recording_of_several_files(names, main):
    """A later part of a FIF file that was dropped first was read alone, with times that count from its own start."""
    assert app_trials._recording_among(names) == main


@pytest.mark.parametrize("typed, meant", [
    ("", (None, None)), (None, (None, None)), (" 3.0, 4.5 ", (None, [3., 4.5])), ("3 4.25s", (None, [3., 4.25])),
    ("every 1.0", (1., None)), ("Every2 seconds", (2., None))])
def test_onsets_as_they_are_typed(typed, meant):
    assert app_trials._onsets(typed) == meant


@pytest.mark.parametrize("typed", [" ".join(f"{n}.345" for n in range(100, 400)) + " ms", "1" * 5000 + "x",
                                   " " * 20000 + "x", "1" + " " * 20000 + "x", "1.5.5", "1; 2", "-1", "every 0",
                                   "every 1 2"])
def test_a_typo_behind_many_onsets_is_told_at_once(typed):
    """Ten numbers with a word behind them kept the app busy for hours."""
    begun = time.perf_counter()
    with pytest.raises(InputError, match="expected seconds"):
        app_trials._onsets(typed)
    assert time.perf_counter() - begun < 2


def test_the_claims_of_all_studies_of_a_model_are_shown():
    """The page showed the first alone, such as that of the validation part."""
    pytest.importorskip("gradio", reason="gradio is not installed (requirements-app.txt)")
    from captioning.app_page import Models

    models = Models(["mine"], None, "cpu", None, None)
    models.loaded["mine"] = SimpleNamespace(key="1", knows_simulated_eeg=False)
    val, test, other = ({"model": model, "split": split, "prompt": "basic", "claim": f"<{split} {model}>"}
                        for model, split in (("1", "val"), ("1", "test"), ("2", "test")))
    models.results = {"studies": [other, val]}
    assert "</strong>&lt;val 1&gt;</p>" in models.claim("mine")
    models.results = {"studies": [val, test, other]}
    assert ("</strong>val part, prompt basic: &lt;val 1&gt; test part, prompt basic: &lt;test 1&gt;</p>"
            in models.claim("mine"))


def test_another_model_forgets_the_recording_of_the_last(study):
    """It was filtered, cut and scaled as that model's data were."""
    gradio = pytest.importorskip("gradio", reason="gradio is not installed (requirements-app.txt)")
    from captioning.app_page import Models, build

    name = str(study[2])
    page = build(Models([name], None, "cpu", None, None))
    model = next(block for block in page.blocks.values() if isinstance(block, gradio.Dropdown))
    change = next(one for one in page.fns.values() if (model._id, "change") in one.targets)
    new = {type(block): value for block, value in zip(change.outputs, change.fn(name), strict=True)}
    assert new[gradio.State] is None


@pytest.fixture(scope="module")
def url(study):
    """The app's address."""
    pytest.importorskip("gradio", reason="gradio is not installed (requirements-app.txt)")
    import app

    page = app.start(app.parse(["--model_path", str(study[2]), "--eeg_dataset", str(study[1]), "--device", "cpu"]))
    yield page.local_url
    page.close()


@pytest.fixture
def page(url, browser, request):
    """The page after its first trial, without any error of its own."""
    width, scheme = getattr(request, "param", (1280, "light"))
    page, errors = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(url)
    page.wait_for_selector("[data-caption]")
    yield page
    assert not errors
    page.close()


@pytest.mark.parametrize("page", [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")], indirect=True)
def test_it_fits_and_can_be_read(page):
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    ink, paper = page.evaluate("""() => { const style = getComputedStyle(document.querySelector('.eeg'));
                                  return [style.color, style.backgroundColor]; }""")
    lightness = [sum(map(int, colour[4:-1].split(",")[:3])) for colour in (ink, paper)]
    assert abs(lightness[0] - lightness[1]) > 450
    assert "nothing may be claimed" in page.inner_text("#claim") and page.locator("#result svg").count() == 4
    assert len(page.screenshot()) > 10_000


def test_click_upload_and_keyboard(page, study):
    page.fill("#trial input", "3")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Trial 3 of subject 1")
    page.fill("#trial input", "4")
    page.click("#show")
    page.wait_for_selector("text=Trial 4 of subject 1")
    page.focus("#trial input")
    page.keyboard.press("Control+a")
    page.keyboard.type("5")
    page.keyboard.press("Tab")
    page.wait_for_function("document.activeElement.id == 'show' || document.activeElement.closest('#show')")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Trial 5 of subject 1")
    page.get_by_role("tab", name="Your recording").click()
    page.set_input_files("#files input[type=file]", str(study[0]))
    page.wait_for_selector("text=made_raw.fif")
    page.fill("#onsets input, #onsets textarea", "3.0 4.25 5.5")
    page.click("#read")
    page.wait_for_selector("text=onset at 3.000 s of made_raw.fif.")
    assert page.locator("#result .all tbody tr").count() == 3
    page.fill("#onsets input, #onsets textarea", "often")
    page.click("#read")
    page.wait_for_selector("text=expected seconds such as")


def test_without_gradio_it_says_so(study, monkeypatch, capsys):
    import app

    monkeypatch.setattr(app, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as stop:
        app.main(["--model_path", str(study[2])])
    assert stop.value.code == 2 and "requirements-app.txt" in capsys.readouterr().err
