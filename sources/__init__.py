"""One reader for each data set or family of files; each turns files into the same records (eegdata/records.py).

A source that `prepare_data.py` offers has `add_arguments(parser)` and `find(args) -> DataSet`; heavy imports wait until
they are called.
"""

from . import alljoined1, bdd, eegcvpr40, mindbigdata, n170, raw, simulated, things, uci

SOURCES = {"alljoined1": alljoined1, "bdd": bdd, "eegcvpr40": eegcvpr40, "mindbigdata": mindbigdata, "n170": n170,
           "raw": raw, "simulated": simulated, "things": things, "uci": uci}
