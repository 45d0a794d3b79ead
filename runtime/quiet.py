"""What a script does not show: bars where nobody watches, and messages of other packages that ask for nothing.

It must run before those packages are imported (runtime/__init__.py).
"""

import logging
import os
import sys
import warnings

# (logger, beginning of the message). Each was looked at: nothing is wrong, and the advice in it is not for our users.
LOGGED = (
    ("bitsandbytes.backends.cpu.ops", "Failed to load CPU gemm_4bit_forward"),  # a faster kernel, of the Hub
)
# Beginnings of warnings, as regular expressions.
WARNED = (
    r"`is_gradient_checkpointing` is deprecated",  # peft asks transformers
    r"The PEFT config's `base_model_name_or_path` was renamed",  # the place is no part of the model here
    r"Initializing zero-element tensors",  # an encoder without classes has a class head of size 0
    r"`torch\.jit\.script(_method)?` is deprecated",  # open_clip, on import
    r"Montage name 'standard_10\d\d' is deprecated",  # braindecode, on import; eegdata/montage.py takes the newer name
    r"Modifying chs_info argument using the _deserialize_chs_info",  # braindecode, of the places it is given
)


def watched() -> bool:
    """Whether somebody sees a bar move: on a terminal, or in a notebook."""
    return bool(sys.stderr and sys.stderr.isatty()) or "ipykernel" in sys.modules


def set_up() -> None:
    """Turn bars off in pipes and files, and known messages off everywhere."""
    if not watched():
        os.environ.setdefault("TQDM_DISABLE", "1")  # of all bars, those of other packages among them
    for name, beginning in LOGGED:
        logging.getLogger(name).addFilter(lambda record, beginning=beginning: not str(record.msg).startswith(beginning))
    for beginning in WARNED:
        warnings.filterwarnings("ignore", message=beginning)
