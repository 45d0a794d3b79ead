"""Bad input ends a script with one clear sentence and exit code 2, never with a traceback."""

import errno
import functools
import sys

UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS)


class InputError(Exception):
    """What the user gave cannot be used.

    The message names the file, key or flag, what was found, what was expected and what to do.
    """


def exits_cleanly(main):
    """Decorate a script's `main(argv)`: `InputError` and a full disk become one line on stderr and exit code 2."""

    @functools.wraps(main)
    def run(argv=None):
        try:
            return main(argv)
        except InputError as error:
            message = str(error)
        except Exception as error:
            if not _cannot_write(error):
                raise
            place = getattr(error, "filename", None) or "output"
            message = f"{place}: cannot be written ({error}); free space or choose another path"
        print(f"error: {message}", file=sys.stderr)
        sys.exit(2)

    return run


def _cannot_write(error):
    """A full or read-only disk, also as torch.save and safetensors report it (neither raises OSError)."""
    if isinstance(error, OSError):
        return error.errno in UNWRITABLE
    return "inline_container.cc" in str(error) or any(f"os error {code})" in str(error) for code in UNWRITABLE)
