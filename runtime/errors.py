"""Bad input ends a script with one clear sentence and exit code 2, never with a traceback."""

import errno
import functools
import sys
from collections.abc import Callable

from runtime import processes

UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST,
              errno.ENOTDIR, errno.ENAMETOOLONG)


class InputError(Exception):
    """Something that the user gave cannot be used.

    The message names the file, key or flag, what was found, what was expected and what to do.
    """


class Interrupted(SystemExit, KeyboardInterrupt):
    """Ends a script with code 130, as a shell reports Ctrl-C, and without a traceback; a caller in Python can still tell it
    from other exits."""


def exits_cleanly(main: Callable) -> Callable:
    """Decorate a script's `main(argv)`: `InputError` and a full disk become one line on stderr and exit code 2, Ctrl-C one
    that says how to go on and code 130.

    With several processes only process 0 prints, so an error that all of them meet is printed once.
    """

    @functools.wraps(main)
    def run(argv=None):
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(errors="backslashreplace")  # a caption or a file name may hold what a terminal cannot show
        try:
            with processes.only_main_speaks():
                result = main(argv)
            processes.end()
            return result
        except SystemExit as stop:
            if stop.code:  # argparse has said why, or is about to in process 0
                processes.wait_to_speak()
            raise
        except KeyboardInterrupt as stop:  # its text, if any, is that of encoders.training.train
            if processes.is_main():
                _say(f"\ninterrupted: {str(stop) or 'run the same command again'}")
            raise Interrupted(130) from None
        except InputError as error:
            message = str(error)
        except Exception as error:
            if not _cannot_write(error):
                raise
            place = getattr(error, "filename", None) or "output"
            message = f"{place}: cannot be written ({error}); free space or choose another path"
        _say(f"error: {processes.wait_to_speak()}{message}")
        sys.exit(2)

    return run


def _say(line):
    """Print the last line of a script; progress bars that are still open would be drawn below it."""
    for bar in list(sys.modules["tqdm"].tqdm._instances) if "tqdm" in sys.modules else ():
        bar.close()
    print(line, file=sys.stderr)


def _cannot_write(error):
    """A full or read-only disk, also as torch.save and safetensors report it (neither raises OSError)."""
    if isinstance(error, OSError):
        return error.errno in UNWRITABLE
    signs = ("inline_container.cc", "iostream error", *(f"os error {code})" for code in UNWRITABLE))
    return any(sign in str(error) for sign in signs)
