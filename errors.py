"""Bad input ends a script with one clear sentence and exit code 2, never with a traceback."""

import errno
import functools
import sys


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
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
                raise
            message = f"{error.filename or 'output'}: cannot write ({error.strerror}); free space or choose another path"
        print(f"error: {message}", file=sys.stderr)
        sys.exit(2)

    return run
