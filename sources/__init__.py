"""One reader a data set or file family; each turns files into the same trial records (records.py).

A source that `prepare_data.py` offers has `add_arguments(parser)` and `find(args) -> DataSet`; heavy imports wait until
they are called.
"""

from . import n170, simulated

SOURCES = {"n170": n170, "simulated": simulated}
