"""One reader a data set or file family; each turns files into the same trial records.

A source that `prepare_data.py` offers has `add_arguments(parser)` and `prepare(args)`; heavy imports wait until then.
"""

from . import n170, simulated

SOURCES = {"n170": n170, "simulated": simulated}
