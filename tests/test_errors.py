import contextlib
import errno
import io
import os
import signal
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

from runtime.atomic_files import atomic_path
from runtime.errors import InputError, exits_cleanly
from runtime.runs import write_json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file


@pytest.mark.parametrize("kind", ["torch", "safetensors", "text"])
def test_a_full_disk_is_said_and_keeps_what_was_there(tmp_path, capsys, full_disk, kind):
    path = tmp_path / "result"
    path.write_text("the old one")

    @exits_cleanly
    def main(argv=None):
        with atomic_path(path) as temporary:
            if kind == "torch":
                torch.save({"a": torch.zeros(10**6)}, temporary)
            elif kind == "safetensors":
                save_file({"a": torch.zeros(10**6)}, temporary)
            else:
                temporary.write_text("x" * 10**6)

    with pytest.raises(SystemExit) as stop, full_disk():
        main()
    assert stop.value.code == 2 and "cannot be written" in capsys.readouterr().err
    assert path.read_text() == "the old one" and [p.name for p in tmp_path.iterdir()] == ["result"]


def test_other_errors_are_not_hidden(capsys):
    @exits_cleanly
    def main(argv):
        raise argv

    with pytest.raises(RuntimeError, match="a bug"):
        main(RuntimeError("a bug"))
    with pytest.raises(ConnectionResetError):
        main(OSError(errno.ECONNRESET, "reset"))
    with pytest.raises(SystemExit) as stop:
        main(InputError("--flag x: found y"))
    assert stop.value.code == 2 and capsys.readouterr().err == "error: --flag x: found y\n"


def test_interrupted_writes_leave_nothing(tmp_path):
    write_json(tmp_path / "a.json", {"x": 1})
    with pytest.raises(KeyboardInterrupt), atomic_path(tmp_path / "a.json") as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert (tmp_path / "a.json").read_text() == '{\n  "x": 1\n}\n' and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(("number", "code", "word"), [(signal.SIGINT, 130, "interrupted"),
                                                      (signal.SIGTERM, 143, "terminated"),
                                                      (signal.SIGHUP, 129, "terminal closed")])
def test_a_signal_is_one_line_that_says_how_to_go_on(capsys, number, code, word, request):
    request.addfinalizer(partial(signal.signal, signal.SIGINT, signal.getsignal(signal.SIGINT)))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    request.addfinalizer(partial(signal.signal, signal.SIGHUP, signal.getsignal(signal.SIGHUP)))
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup ignores it
    before = signal.getsignal(signal.SIGTERM)

    @exits_cleanly
    def main(argv=None):
        os.kill(os.getpid(), number)

    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == code and capsys.readouterr().err.strip() == f"{word}: run the same command again"
    assert signal.getsignal(signal.SIGTERM) is before and signal.getsignal(signal.SIGHUP) == signal.SIG_DFL


SLEEPS = """
import sys, time
from runtime.errors import exits_cleanly
def main(argv):
    print("begun", flush=True)
    try:
        time.sleep(float(sys.argv[1]))
    finally:
        print("ends")
exits_cleanly(main)()
"""


def test_a_terminal_that_closes_ends_a_run_cleanly(tmp_path):
    """The run died without a word, and its clean-up never ran. Writing to the closed terminal is no error."""
    ours, its = os.openpty()
    with open(tmp_path / "log", "wb") as log:
        run = subprocess.Popen(["setsid", "--ctty", sys.executable, "-c", SLEEPS, "60"], stdin=its, stdout=its, stderr=log,
                               cwd=Path(__file__).parents[1],
                               preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL))  # the tests may ignore it
    os.close(its)
    assert os.read(ours, 100).strip() == b"begun"
    os.close(ours)
    assert run.wait(30) == 129 and (tmp_path / "log").read_text().strip() == "terminal closed: run the same command again"


def test_a_run_under_nohup_goes_on():
    run = subprocess.Popen(["nohup", sys.executable, "-c", SLEEPS, "1"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           text=True, cwd=Path(__file__).parents[1])
    assert run.stdout.readline() == "begun\n"
    run.send_signal(signal.SIGHUP)
    assert run.communicate()[0] == "ends\n" and run.returncode == 0


@pytest.mark.parametrize("allocate", [lambda: np.ones(10**15), lambda: torch.ones(10**15), lambda: bytearray(10**15)])
def test_memory_that_is_used_up_is_called_so(capsys, allocate):
    with pytest.raises(SystemExit) as stop:
        exits_cleanly(lambda argv: allocate())(None)
    said = capsys.readouterr().err
    assert stop.value.code == 2 and said.startswith("error: out of memory (") and "--batch_size" in said


@pytest.mark.parametrize("lines", [1, 100_000])
def test_a_pipe_that_nobody_reads_ends_a_script_quietly(lines):
    """As in `python evaluate.py ... | head -1`."""
    code = ("from runtime.errors import exits_cleanly\n"
            f"exits_cleanly(lambda argv: [print('line') for _ in range({lines})])()")
    read, write = os.pipe()
    os.close(read)
    run = subprocess.run([sys.executable, "-c", code], stdout=write, stderr=subprocess.PIPE, text=True,
                         cwd=Path(__file__).parents[1])
    os.close(write)
    assert run.returncode == 128 + signal.SIGPIPE and run.stderr == ""
    with pytest.raises(BrokenPipeError):  # another pipe
        exits_cleanly(lambda argv: (_ for _ in ()).throw(BrokenPipeError()))()


def test_a_script_runs_in_a_notebook_and_in_a_thread():
    """Where standard output is no file, and signals belong to others."""
    with contextlib.redirect_stdout(io.StringIO()) as said:
        assert exits_cleanly(lambda argv: print("done"))() is None
    found = []
    thread = threading.Thread(target=lambda: found.append(exits_cleanly(lambda argv: 7)()))
    thread.start()
    thread.join()
    assert said.getvalue() == "done\n" and found == [7]
