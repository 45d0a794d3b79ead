"""One reader for each data set or family of files; each turns files into the same records (eegdata/records.py).

A source that `prepare_data.py` offers has `add_arguments(parser)` and `find(args) -> DataSet`; heavy imports wait until
they are called.
"""

from . import alljoined1, alljoined16m, bdd, eegcvpr40, eegimagenet, mindbigdata, n170, raw, seeddv, simulated, things, uci

SOURCES = {"alljoined1": alljoined1, "alljoined16m": alljoined16m, "bdd": bdd, "eegcvpr40": eegcvpr40,
           "eegimagenet": eegimagenet, "mindbigdata": mindbigdata, "n170": n170, "raw": raw, "seeddv": seeddv,
           "simulated": simulated, "things": things, "uci": uci}
