"""stream.py: trials that arrive piece by piece are those of the whole recording, and so are their captions over LSL."""

import json
import os
import re
import subprocess
import sys
import threading
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

from runtime.errors import InputError

import mne
import numpy as np
import pytest
import torch

import captioning.live
import stream as script
from captioning.captioner import Captioner
from captioning.live import ChannelScale
from captioning.requests import GREEDY, Request
from eegdata.dataset_writer import channel_scale, divided
from new_recordings import SHORT, read
from raw_material import CHANNELS, ONSETS, make_raw
from sources import epochs, preprocessing
from sources.live_trials import LiveTrial, LiveTrials, reach_seconds
from sources.lsl import Inlet, StreamChannels, channels_of, check_same

os.environ["LSLAPICFG"] = str(Path(__file__).with_name("lsl_api.cfg"))  # read when pylsl is imported first
ROOT = Path(__file__).resolve().parents[1]
SFREQ = 200.
RATES = [(200., 100.), (512., 250.), (128., 128.), (500.5, 250.)]
SETTINGS = preprocessing.Settings(.5, 40., 0., SFREQ, -40, 160, (-.2, 0.), 500., .1, "none", "average", 1., list(CHANNELS))


def whole(raw, onsets, settings):
    """Trials of the whole recording, and the numbers of their onsets."""
    raw = mne.io.RawArray(raw.get_data(), raw.info, verbose="error")
    trials, _, _ = preprocessing.process("raw", raw, list(CHANNELS), {}, [], np.asarray(onsets), settings)
    return epochs.joined(trials, len(settings.ch_names), settings)


def live(raw, onsets, settings, sizes, every=None, start=1000., kept=None, late=0):
    """Trials of the same samples in pieces of `sizes`; kept: the samples that arrive, late: pieces by which marks lag."""
    trials = LiveTrials(list(CHANNELS), SFREQ, settings, every)
    signal, times = raw.get_data() * 1e6, start + np.arange(raw.n_times) / SFREQ
    kept = np.arange(raw.n_times) if kept is None else kept
    done, at, waiting = [], 0, list(onsets)
    for number in range(10**6):
        piece = kept[at:at + sizes[number % len(sizes)]]
        if not len(piece):
            break
        at += len(piece)
        while waiting and number >= late and waiting[0] + start <= times[piece[-1]] - late:
            trials.mark(start + waiting.pop(0), "mark")
        done += trials.add(signal[:, piece], times[piece], float(number))
    for onset in waiting:
        trials.mark(start + onset, "mark")
    return done + trials.finish(), trials


@pytest.mark.parametrize("settings, sizes", [
    (SETTINGS, [1, 7, 64]), (replace(SETTINGS, notch=50.), [500]), (replace(SETTINGS, l_freq=0., h_freq=0.), [20]),
    (replace(SETTINGS, bads=["Oz"]), [33]), (replace(SETTINGS, reference=["Fz"], ch_names=CHANNELS[1:]), [100])],
    ids=["average", "notch", "unfiltered", "a bad channel", "named reference"])
def test_pieces_give_the_trials_of_the_whole(settings, sizes):
    raw = make_raw()
    expected, _ = whole(raw, ONSETS, settings)
    found, trials = live(raw, ONSETS, settings, sizes)
    assert len(found) == len(expected) == len(ONSETS) and not trials.lost
    assert np.abs(np.stack([each.eeg for each in found]) - expected).max() < 1e-4  # microvolts, of 10
    assert np.allclose([each.time for each in found], ONSETS)


def test_resampled_trials_differ_by_about_a_thousandth():
    settings = replace(SETTINGS, sfreq=100., first=-20, last=80)
    raw = make_raw()
    expected, _ = whole(raw, ONSETS, settings)
    found, _ = live(raw, ONSETS, settings, [37])
    assert np.abs(np.stack([each.eeg for each in found]) - expected).max() < .02  # microvolts, of 10
    assert tuple(epochs.grid_step(*rates) for rates in RATES) == (2, 256, 1, 1)


def test_a_trial_comes_as_soon_as_its_filters_allow():
    found, trials = live(make_raw(), ONSETS, SETTINGS, [20])
    wait = (3.3 / .5) / 2 + .8
    assert abs(trials.wait - wait) < .02 and reach_seconds(SETTINGS, SFREQ) < wait
    for each in found[:-4]:  # the number of the piece of .1 s that completed it
        assert 0 <= each.arrived * .1 - (each.time + wait) + .1 < .2


def test_onsets_may_arrive_after_their_samples():
    found, _ = live(make_raw(), ONSETS[:5], SETTINGS, [20], late=10)
    assert len(found) == 5


def test_a_rhythm_makes_its_own_onsets():
    raw = make_raw()
    onsets = np.arange(.2, 40 - .8 + 1e-9, 1.25)
    expected, kept = whole(raw, onsets, SETTINGS)
    found, trials = live(raw, [], SETTINGS, [50], every=1.25)
    assert np.allclose([each.time for each in found], onsets[kept]) and not +trials.dropped
    assert np.abs(np.stack([each.eeg for each in found]) - expected).max() < 1e-4


def test_lost_samples_are_counted_and_nothing_reaches_across():
    """The stretches before and after the loss are recordings of their own."""
    raw = make_raw()
    kept = np.r_[0:3000, 3100:raw.n_times]  # .5 s are lost at 15 s
    parts = [whole(raw.copy().crop(*edges, include_tmax=edges[1] is None), ONSETS[rows] - edges[0], SETTINGS)[0]
             for edges, rows in (((0, 15), ONSETS < 15), ((15.5, None), ONSETS > 15.5))]
    inside = (ONSETS >= 15) & (ONSETS < 15.5)
    found, trials = live(raw, ONSETS, SETTINGS, [64], kept=kept)
    assert (trials.lost, trials.gaps, trials.received) == (100, 1, raw.n_times - 100)
    assert trials.dropped["in lost samples"] == inside.sum()
    expected = np.concatenate(parts)
    assert len(found) == len(expected) < len(ONSETS) - inside.sum()
    assert np.abs(np.stack([each.eeg for each in found]) - expected).max() < 1e-4


def test_loud_trials_are_left_out_and_old_samples_forgotten():
    raw = make_raw(n_seconds=120)
    raw._data[0, 2000:2010] = 2e-3
    found, trials = live(raw, [10., 12., 100.], SETTINGS, [100])
    assert len(found) == 2 and trials.dropped["more than 500 uV peak to peak"] == 1
    assert trials.stretch.signal.shape[1] < 50 * SFREQ


def test_what_cannot_be_done_live_is_refused():
    with pytest.raises(InputError, match="bad channels cannot be looked for"):
        LiveTrials(list(CHANNELS), SFREQ, replace(SETTINGS, bads="auto"))
    with pytest.raises(InputError, match="standard deviation"):  # not microvolts
        live(make_raw(), ONSETS, replace(SETTINGS, unit_scale=1e6), [100])


def test_the_scale_of_all_trials_so_far():
    rng, scale = np.random.default_rng(0), ChannelScale()
    first, second = (rng.normal(2, 5, (n, 3, 50)).astype(np.float32) for n in (1, 4))
    assert np.allclose(scale(first), divided(first, channel_scale(first)), rtol=1e-5)
    assert np.allclose(scale(second), divided(second, channel_scale(np.concatenate([first, second]))), rtol=1e-5)
    assert np.array_equal(ChannelScale([1., 2., 4.])(first), divided(first, [1., 2., 4.]))


class ThreeAtATime:
    """A stream, its trials and its scale in one, for captioning.live.run: three trials a piece, and three at the end."""

    sfreq, wait, received = 100., 1., 0

    def pull(self, seconds):
        return [[0.]], np.zeros(1)

    def add(self, signal, times, arrived):
        self.received += 1
        return [LiveTrial(np.zeros((1, 4), np.float32), float(self.received), "onset", 0.)] * 3

    def finish(self):
        return self.add(None, None, None)


def test_noise_like_nothing_known_is_refused_before_the_stream(monkeypatch):
    """A predecessor's captioner does not know its embeddings; its first trial would have ended the session."""
    encoder = SimpleNamespace(config=SimpleNamespace(centre="none"))
    monkeypatch.setattr("captioning.captioner.load_captioner", lambda args: SimpleNamespace(
        learned=None, model=SimpleNamespace(encoder=encoder)))
    with pytest.raises(InputError, match="noise: noise in place of 1 trial needs the mean and scale"):
        script._run(script.parse(["--model_path", "m", "--lsl", "x", "--every", "1", "--control"]), None)


def test_it_stops_after_as_many_captions_as_asked_for(monkeypatch):
    """Though several trials may come at a time, and the end of a stream completes others that wait for the filters."""
    source, counts = ThreeAtATime(), []

    def readings(captioner, eeg, request, first):
        counts.append((first, len(eeg)))
        return {"caption": ["A cat."] * len(eeg), "words": [[]] * len(eeg)}

    monkeypatch.setattr(captioning.live, "calibrated_scale", lambda args, kept: None)
    monkeypatch.setattr(captioning.live, "open_stream", lambda args, kept: (
        source, source, StreamChannels(["Cz"], [0], np.ones(1), 100.)))
    monkeypatch.setattr(captioning.live, "readings", readings)
    session = captioning.live.Session()
    args = Namespace(markers=None, trials=4, seconds=None)
    captioning.live.run(args, None, SimpleNamespace(taken=slice(0, 4)), Request(), session)
    assert len(session.time) == len(session.events) == len(session.columns["caption"]) == 4
    assert counts == [(0, 3), (3, 1)]


def test_each_trial_has_draws_of_its_own(captioner):
    """Each that came alone was drawn with the same seed, so the same EEG had the same caption again and again."""
    reader, eeg = Captioner(captioner, "cpu"), torch.randn(1, 6, 64, generator=torch.Generator().manual_seed(0))
    request = Request(abstain_below=0., generation={**GREEDY, "max_new_tokens": 12, "do_sample": True, "temperature": 2.})
    together = captioning.live._read(reader, eeg.expand(4, -1, -1), request, 0)["caption"]
    assert len(set(together)) == 4
    assert [captioning.live._read(reader, eeg, request, row)["caption"][0] for row in range(4)] == together


class Described:
    """A stream that only describes itself, for sources.lsl.channels_of."""

    flag, name = "--lsl", "amplifier"

    def __init__(self, names=("Fz", "Cz"), sfreq=200., units=("uV", "uV"), types=("EEG", "EEG")):
        self.info = SimpleNamespace(channel_count=lambda: len(names), nominal_srate=lambda: sfreq,
                                    get_channel_labels=lambda: list(names), get_channel_units=lambda: list(units),
                                    get_channel_types=lambda: list(types))


@pytest.mark.parametrize("options", [{"names": ("Cz", "Fz")}, {"sfreq": 500.}, {"units": ("uV", "mV")},
                                     {"types": ("EEG", "misc")}, {"names": ("Fz",), "units": ("uV",), "types": ("EEG",)}])
def test_a_stream_that_comes_back_otherwise_is_refused(options):
    """Its rows were taken for the channels of the first one: Cz for Fz."""
    before = channels_of(Described())
    check_same(Described(), before)
    with pytest.raises(InputError, match="--lsl amplifier: came back with other settings"):
        check_same(Described(**options), before)


class Markers:
    """A stream of markers that is lost after its first one, and comes back at the third look for it."""

    def __init__(self):
        self.pieces, self.looks = [([["a"]], np.ones(1)), None], 0

    def pull(self):
        return self.pieces.pop(0) if self.pieces else None

    def again(self, seconds):
        self.looks += 1
        self.pieces += [([["b"]], np.full(1, 2.)), ([], np.zeros(0))] * (self.looks == 3)
        return bool(self.pieces)


def test_markers_that_come_back_count_again(capsys):
    """Where the program that shows the pictures was started again, all its later markers were lost without a word."""
    markers, trials, there = Markers(), LiveTrials(list(CHANNELS), SFREQ, SETTINGS), True
    args = Namespace(markers="M", event_names=None, event_delay=0.)
    for _ in range(6):
        there = captioning.live._take_marks(trials, markers, there, args)
    assert trials.pending == [(1., "a"), (2., "b")] and there
    assert re.findall("markers M is (gone|back)", capsys.readouterr().out) == ["gone", "back"]


def test_marks_of_pauses_are_no_events():
    """BrainVision's amplifiers and sources/replay.py send the mark of a segment's start, which was captioned."""
    trials = LiveTrials(list(CHANNELS), SFREQ, SETTINGS)
    values = [["New Segment/"], ["boundary"], ["BAD_blink"], ["a"]]
    captioning.live._mark(trials, values, np.arange(4.), Namespace(event_names=None, event_delay=0.))
    assert trials.pending == [(3., "a")]


# --- over LSL ---


@pytest.fixture
def replayed(tmp_path):
    """A function that sends a recording from another process; returns the stream's name, which no other run of the tests
    has, and the process."""
    pytest.importorskip("pylsl", reason="pylsl is not installed (requirements-live.txt)")
    name, started = f"eeg-to-text-{tmp_path.name}-{os.getpid()}", []

    def start(recording, *options, linger=60):
        command = [sys.executable, "-m", "sources.replay", str(recording), "--lsl", name, "--speed", "10", "--linger",
                   str(linger), *map(str, options)]
        started.append(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        return name, started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def stream(model, name, file, *options):
    script.main(["--model_path", str(model), "--lsl", name, "--wait", "60", "--abstain_below", "0", "--out", str(file),
                 *SHORT, *map(str, options)])
    return read(file)


@pytest.mark.slow
def test_a_replayed_recording_gives_the_offline_captions(study, expected, replayed, tmp_path, capsys):
    name, _ = replayed(study[0], linger=15)  # its end lets the last trials, whose filters wait for more, be captioned
    table = stream(study[2], name, tmp_path / "live.csv", "--markers", f"{name}-markers", "--calibrate", study[0],
                   "--trials", len(expected))
    assert table["caption"].tolist() == expected["Generated Caption"].tolist()
    assert table["class"].tolist() == expected["Predicted object"].tolist()
    assert np.allclose(table["probability"].astype(float), expected["probability"].astype(float), atol=1e-3)
    assert np.allclose(table["time"].astype(float), ONSETS, atol=2e-3) and set(table["event"]) == {"cat", "dog"}
    printed = capsys.readouterr().out
    assert re.search(r"28 trials captioned; .*p50 \d+\.\d+ s, p95 \d+\.\d+ s", printed)
    assert "lost: 0 in 0 gaps; reconnects: 0" in printed
    assert "p50" in json.loads((tmp_path / "live.csv.json").read_text())["session"][0]


@pytest.mark.slow
def test_lost_samples_over_lsl(study, replayed, tmp_path, capsys):
    name, _ = replayed(study[0], "--lose", 10, 12)
    table = stream(study[2], name, tmp_path / "live.csv", "--markers", f"{name}-markers", "--event_names", "cat",
                   "--seconds", 37)
    assert 5 < len(table) < 14 and set(table["event"]) == {"cat"}
    assert not table["time"].astype(float).between(10 - .8, 12 + .2).any()
    assert "lost: 400 in 1 gaps" in capsys.readouterr().out


@pytest.mark.parametrize("end, code, said", [(KeyboardInterrupt, 130, "interrupted: 1 trials captioned"),
                                             (InputError("it came back otherwise"), 2, "it came back otherwise")])
def test_what_was_captioned_is_kept_however_the_session_ends(study, tmp_path, capsys, monkeypatch, end, code, said):
    """A session without --seconds goes on until Ctrl-C, which left nothing of it."""
    pytest.importorskip("pylsl", reason="pylsl is not installed (requirements-live.txt)")

    def run(args, captioner, kept, request, session):
        session.time, session.events = [1., 2.], ["cat", "dog"]  # stopped while the second one was noted
        session.columns = {"caption": ["A cat.", "A dog."], "class": ["cat"], "probability": [.9], "words": [[("cat", .9)]]}
        raise end

    monkeypatch.setattr(captioning.live, "run", run)
    with pytest.raises(SystemExit) as stop:
        stream(study[2], "absent", tmp_path / "live.csv", "--every", "1")
    assert stop.value.code == code and said in capsys.readouterr().err
    table = read(tmp_path / "live.csv")
    assert table["caption"].tolist() == ["A cat."] and table["event"].tolist() == ["cat"]
    assert json.loads((tmp_path / "live.csv.json").read_text())["session"] == ["ended before its time"]


@pytest.mark.slow
def test_a_stream_of_markers_that_comes_back():
    """pylsl tells that it is lost, but does not find the next one of that name by itself."""
    pylsl = pytest.importorskip("pylsl", reason="pylsl is not installed (requirements-live.txt)")
    name = f"eeg-to-text-markers-{os.getpid()}"

    def outlet(source):
        return pylsl.StreamOutlet(pylsl.StreamInfo(name, "Markers", 1, 0, pylsl.cf_string, source))

    def pulled(until):
        for _ in range(100):
            found = inlet.pull(.1)
            if until(found):
                return found
        raise AssertionError("nothing came")

    first = outlet("first")
    inlet = Inlet(name, "--markers", 20)
    first.push_sample(["a"])
    assert pulled(lambda found: found and found[0])[0] == [["a"]]
    del first
    assert pulled(lambda found: found is None) is None and not inlet.again(.1)
    second = outlet("second")
    assert any(inlet.again(.5) for _ in range(20))
    second.push_sample(["b"])
    assert pulled(lambda found: found and found[0])[0] == [["b"]]


@pytest.mark.slow
def test_a_stream_that_comes_back(study, replayed, capsys):
    """The first sender ends, then another one of the same name starts. What was sent before is captioned."""
    name, first = replayed(study[0], linger=1)
    thread = threading.Thread(target=lambda: first.wait() is not None and replayed(study[0]))
    thread.start()
    script.main(["--model_path", str(study[2]), "--lsl", name, "--every", "4", "--wait", "60", "--seconds", "50", *SHORT])
    thread.join()
    assert "in 1 gaps; reconnects: 1" in capsys.readouterr().out


def test_no_such_stream(study, tmp_path, capsys):
    pytest.importorskip("pylsl", reason="pylsl is not installed (requirements-live.txt)")
    with pytest.raises(SystemExit) as stop:
        script.main(["--model_path", str(study[2]), "--lsl", "absent", "--every", "1", "--wait", "1", "--out",
                     str(tmp_path / "live.csv"), *SHORT])
    assert stop.value.code == 2 and "absent: no such stream" in capsys.readouterr().err and not list(tmp_path.iterdir())
