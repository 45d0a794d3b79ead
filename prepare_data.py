"""Turn recordings and pictures into a data set folder: `eeg.pth`, `splits.pth`, `images/`.

    python prepare_data.py simulated --output runs/demo/data
    python prepare_data.py n170 --recordings n170/muse2016 --stimuli n170/stimuli --output runs/n170/data
"""

import sys

import options
from errors import exits_cleanly
from sources import SOURCES


@exits_cleanly
def main(argv=None):
    parser = options.make_parser(__doc__)
    commands = parser.add_subparsers(dest="source", required=True, metavar="SOURCE")
    for name, source in SOURCES.items():
        command = commands.add_parser(name, help=source.__doc__.splitlines()[0], description=source.__doc__,
                                      formatter_class=parser.formatter_class)
        command.add_argument("--output", required=True, help="folder to write the data set to")
        source.add_arguments(command)
    args = parser.parse_args(argv)
    SOURCES[args.source].prepare(args)


if __name__ == "__main__":
    sys.exit(main())
