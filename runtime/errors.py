"""Bad input ends a script with one clear sentence and exit code 2, never with a traceback."""

import contextlib
import errno
import functools
import io
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable

from runtime import processes, trust
from runtime.secrets import without_secrets

UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST,
              errno.ENOTDIR, errno.ENAMETOOLONG)
STOPS = {signal.SIGTERM: "terminated"}  # signals, and what is said of them
if hasattr(signal, "SIGHUP"):  # not on Windows
    STOPS[signal.SIGHUP] = "terminal closed"
LONGEST = 2000  # letters of a message


class InputError(Exception):
    """Something that the user gave cannot be used.

    The message names the file, key or flag, what was found, what was expected and what to do. What was found may be of any
    length, so a very long message loses its middle.
    """

    def __init__(self, message: str):
        super().__init__(message if len(message) <= LONGEST else f"{message[:LONGEST // 2]} ... {message[-LONGEST // 2:]}")


class Interrupted(SystemExit, KeyboardInterrupt):
    """Ends a script with code 130, as a shell reports Ctrl-C, 143 (SIGTERM) or 129 (SIGHUP), and without a traceback; a
    caller in Python can still tell it from other exits."""


def exits_cleanly(main: Callable) -> Callable:
    """Decorate a script's `main(argv)`: `InputError` and a full disk become one line on stderr and exit code 2, as does
    memory that is used up; Ctrl-C, SIGTERM and SIGHUP become one that says how to go on, and code 130, 143 or 129.

    With several processes only process 0 prints, so an error that all of them meet is printed once.
    """

    @functools.wraps(main)
    def run(argv=None):
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # a notebook's is none
                stream.reconfigure(errors="backslashreplace")  # a terminal cannot show all that a caption or name holds
        try:
            with _signals_stop(), processes.only_main_speaks(), trust.for_one_command():
                result = main(argv)
            processes.end()
            sys.stdout.flush()
            return result
        except SystemExit as stop:
            if stop.code:  # argparse has said why, or is about to in process 0
                processes.wait_to_speak()
            raise
        except KeyboardInterrupt as stop:  # its text, if any, is that of encoders.training.train
            if processes.is_main():
                _say(f"\n{STOPS.get(_stopped_by, 'interrupted')}: {str(stop) or 'run the same command again'}")
            raise Interrupted(128 + _stopped_by) from None
        except InputError as error:
            message = str(error)
        except BrokenPipeError:
            if not _reader_has_gone():
                raise
            raise SystemExit(128 + signal.SIGPIPE) from None  # as other programs end in `... | head`
        except subprocess.CalledProcessError as error:
            script = next((str(word) for word in error.cmd if str(word).endswith(".py")), error.cmd[0])
            message = f"{script} ended with exit code {error.returncode}; its own message above says why"
        except Exception as error:
            if _out_of_memory(error):
                message = (f"out of memory ({str(error).strip().splitlines()[0][:200] if str(error).strip() else 'RAM'}); "
                           "give a smaller --batch_size, or take a machine with more memory")
            elif isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
                message = (f"{error.filename}: this name is too long for the file system; give a shorter one, or correct "
                           "the file that names it")
            elif _cannot_write(error):
                place = getattr(error, "filename", None) or "output"
                message = f"{place}: {why_not_written(error)}"
            else:
                raise
        _say(without_secrets(f"error: {processes.wait_to_speak()}{message}"))
        sys.exit(2)

    return run


_stopped_by = signal.SIGINT  # the signal of this process's last stop


@contextlib.contextmanager
def _signals_stop():
    """SIGTERM, as batch systems send it at a job's end, and SIGHUP, which comes where a terminal closes, stop as Ctrl-C
    does. A run that was started with nohup ignores SIGHUP and goes on."""
    global _stopped_by
    _stopped_by = signal.SIGINT

    def stop(number, _frame):
        global _stopped_by
        _stopped_by = number
        for output in (1, 2):  # standard output and errors: what is written to a closed terminal would be an error
            _drop_if_gone(output, select.POLLERR | select.POLLHUP)
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # which alone may set handlers
        yield
        return
    before = {number: signal.getsignal(number) for number in STOPS}
    for number in STOPS:
        if number == signal.SIGTERM or before[number] != signal.SIG_IGN:
            signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _reader_has_gone():
    """Whether standard output is a pipe that nobody reads any more. What is left for it is then dropped, since Python would
    complain of it at its end."""
    return isinstance(sys.stdout, io.TextIOWrapper) and _drop_if_gone(sys.stdout.fileno(), select.POLLERR)  # no notebook's


def _drop_if_gone(output, signs):
    """Whether poll() reports one of `signs` for the file of this number, which then leads nowhere."""
    poll = select.poll()
    poll.register(output, select.POLLERR)
    gone = any(event & signs for _, event in poll.poll(0))
    if gone:
        os.dup2(os.open(os.devnull, os.O_WRONLY), output)
    return gone


def _out_of_memory(error):
    """Memory of the machine or of a card that is used up, as Python, NumPy and torch report it."""
    return (isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
            or "can't allocate memory" in str(error) or "not enough memory" in str(error))


def _say(line):
    """Print the last line of a script; progress bars that are still open would be drawn below it."""
    for bar in list(sys.modules["tqdm"].tqdm._instances) if "tqdm" in sys.modules else ():
        bar.close()
    print(line, file=sys.stderr)


def why_not_written(error: Exception, other: str = "path") -> str:
    """The end of a message on what cannot be written; other: what to choose another of."""
    if isinstance(error, FileExistsError | NotADirectoryError):
        return f"cannot be written, as a file lies where a folder is needed; choose another {other}"
    return f"cannot be written ({getattr(error, 'strerror', None) or error}); free space or choose another {other}"


def _cannot_write(error):
    """A full or read-only disk, also as torch.save and safetensors report it (neither raises OSError)."""
    if isinstance(error, OSError):
        return error.errno in UNWRITABLE
    signs = ("inline_container.cc", "iostream error", *(f"os error {code})" for code in UNWRITABLE))
    return any(sign in str(error) for sign in signs)
