"""Time stamps of XDF streams: jitter goes, losses of samples stay, a slow clock counts; against times that are known."""

import numpy as np
import pytest

from raw_material import write_table, write_xdf
from raw_runs import AS_IT_IS, fails, prepare
from sources.xdf_times import straighten

pytest.importorskip("mne")
RATE, N = 250, 30000


def taken(losses=(), rate=RATE):
    """Times at which N samples were taken, in s; losses: (first sample behind it, s)."""
    times = np.arange(N) / rate
    for at, seconds in losses:
        times[at:] += seconds
    return times


def late(mean, chunk, seed=0):
    """Delays [N] in s, equal in each chunk of samples."""
    return np.random.default_rng(seed).exponential(mean, N // chunk + 1)[np.arange(N) // chunk]


@pytest.mark.parametrize("losses", [(), [(20000, 1.2)], [(7000, .05), (7500, .4), (29000, 9.)]])
@pytest.mark.parametrize(("jitter", "chunk"), [(0, 1), (.004, 1), (.01, 8)])
def test_times_and_losses(losses, jitter, chunk):
    """All times are right but for one common delay, the jitter's mean."""
    truth = taken(losses)
    times, first, rate = straighten(truth + 1e5 + late(jitter, chunk), RATE)
    assert len(first) == 1 + len(losses) and rate == pytest.approx(RATE, rel=1e-4)
    assert np.abs(np.subtract(first, [0, *(at for at, _ in losses)])).max() <= chunk
    away = np.delete(times - truth - 1e5 - jitter, np.concatenate([np.arange(-chunk, chunk) + at for at in first[1:]])
                     if losses else [])
    assert np.abs(away).max() <= jitter / 2 + 1e-6


def test_late_stamps_are_no_losses():
    truth = taken()
    stalled = np.maximum(truth, np.where(truth < 40, 0, np.minimum(truth, 40.8)))
    stalled[(truth > 40) & (truth < 40.8)] = 40.8  # all that was taken meanwhile comes at once
    assert straighten(stalled, RATE)[1] == [0]
    for seed in range(5):
        assert straighten(truth + late(.05, 32, seed), RATE)[1] == [0]
    assert straighten(np.array([0, .004, .008]), RATE)[1] == [0]
    assert straighten(taken([(250, 5.)])[:500], RATE)[1] == [0, 250]


@pytest.mark.parametrize("losses", [(), [(9000, 1.2)]])
def test_events_and_tables_by_a_clock_that_differs(tmp_path, losses):
    """1.2 s are lost, and the amplifier runs 0.4 % slow: each event lies on the sample that was taken at its time."""
    pytest.importorskip("pyxdf")
    truth = taken(losses, 249.)
    signal = np.stack([10 * truth, *np.random.default_rng(0).normal(0, 10, (3, N))], 1).astype(np.float32)
    onsets = np.arange(2., 115, 2.5)
    eeg = {"name": "Amp", "type": "EEG", "rate": RATE, "times": 50 + truth + late(.002, 4), "values": signal}
    marks = {"name": "Task", "type": "Markers" if losses else "PsychoPy", "rate": 0, "times": 50.002 + onsets,
             "values": [["cat"]] * len(onsets)}
    path = write_xdf(tmp_path / "one.xdf", [eeg, marks])
    table = write_table(tmp_path / "events.tsv", ("onset", "class"), *((onset, "cat") for onset in onsets))
    for name, options in (("own", ("--event_names", "cat")), ("table", ("--events", table))):
        record, found, columns = prepare(tmp_path / name, "--recordings", path, *options, *AS_IT_IS)
        assert len(found) + sum(record["recordings"][0]["dropped"].values()) == len(onsets)
        at = found[:, 0, 50] / 10
        assert len(at) >= len(onsets) - 2 and np.abs(at[:, None] - onsets).min(1).max() < .004
        np.testing.assert_allclose(columns["onset"], at, atol=.005)


def test_stamps_that_go_back(tmp_path, capsys):
    pytest.importorskip("pyxdf")
    times = np.arange(6000) / RATE
    times[3000:] -= 6
    values = np.random.default_rng(0).normal(0, 10, (6000, 3)).astype(np.float32)
    path = write_xdf(tmp_path / "one.xdf", [{"name": "Amp", "type": "EEG", "rate": RATE, "times": times, "values": values}])
    message = fails(capsys, tmp_path / "out", "--recordings", path, "--event_names", ".*")
    assert "one.xdf" in message and ("go back" in message or "time stamps" in message)


@pytest.mark.parametrize(("stream", "said"), [("stamps", "has 1 time stamps that are no numbers"), ("M", "holds texts")])
def test_a_stream_that_is_no_eeg_or_has_no_times(tmp_path, capsys, stream, said):
    """A stamp that is NaN lost all events, as if there were none; a stream of texts was called a damaged file."""
    pytest.importorskip("pyxdf")
    times = np.arange(4000) / 100
    times[50] = np.nan if stream == "stamps" else times[50]
    path = write_xdf(tmp_path / "one.xdf", [
        {"name": "A", "type": "EEG", "rate": 100, "times": times, "values": np.ones((4000, 4))},
        {"name": "M", "type": "Markers", "rate": 0, "times": np.arange(5., 30.), "values": [["cat"]] * 25}])
    options = ("--stream", "M") if stream == "M" else ()
    assert said in fails(capsys, tmp_path / "out", "--recordings", path, "--event_names", "cat", *options)
