"""One look for all figures: style, colours, and the SVG that a page holds.

Figures are drawn by Matplotlib in the colours of the light page. In the SVG the colours of the page become the variables of
its style sheet, so that a figure follows the page into dark mode.
"""

import base64
import contextlib
import io
import itertools
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PALETTE = ("#3f90da", "#e76300", "#3c9d5b", "#832db6", "#bd1f01", "#a96b59", "#ffa90e", "#94a4a2")  # after Petroff 2021
INK, SOFT, RULE = "#1b1f24", "#57606a", "#d0d7de"
# Variables of the style sheets audit/page.css and report/report.css, with their values in the light page.
PAGE_COLOURS = {"ink": INK, "soft": SOFT, "rule": RULE, "accent": "#0a58ca", "accent-pale": "#9cc1f5",
                "control": "#8b949e", "control-pale": "#d0d5da", "baseline": "#a33c08", "baseline-pale": "#e6bfa8",
                "knows": "#dba726", "knows-pale": "#f0dfae", "validation": "#c2410c"}
WIDTH = 4.4  # inches, about a phone's width: a figure is never scaled down much, so its text stays readable
STYLE = {"font.size": 8, "axes.titlesize": 8.5, "axes.titleweight": "bold", "axes.titlelocation": "left",
         "axes.titlecolor": INK, "text.color": INK, "axes.edgecolor": SOFT,
         "axes.labelcolor": SOFT, "xtick.color": SOFT, "ytick.color": SOFT, "axes.linewidth": .6, "grid.color": RULE,
         "grid.linewidth": .5, "axes.spines.top": False, "axes.spines.right": False, "svg.fonttype": "none"}


@contextlib.contextmanager
def style(**changes: object) -> Iterator[None]:
    """Figures drawn within, or by a function that this decorates, have the common style, with changes to its settings.

    In the names of changes a dot is two underscores: font__size=9.
    """
    import matplotlib

    with matplotlib.rc_context(STYLE | {name.replace("__", "."): value for name, value in changes.items()}):
        yield


def panel(height: float, title: str) -> tuple["Figure", "Axes"]:
    """(figure, axes) of WIDTH x height inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, parse_math=False)  # a name may hold a dollar sign
    return figure, axes


def svg(figure: "Figure", title: str, description: str, dpi: int = 150) -> Markup:
    """A Matplotlib figure as an SVG element for a page; title and description are for screen readers.

    Text stays text, in the page's font. Colours of PAGE_COLOURS become the page's variables. Coordinates are rounded to
    .1 point. The same figure gives the same bytes. dpi: of what is drawn in pixels.
    """
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": title}):  # else ids differ from run to run
        figure.savefig(buffer, format="svg", transparent=True, dpi=dpi, metadata={"Date": None, "Creator": None})
    head, body = buffer.getvalue().split("<svg", 1)[1].split(">", 1)
    head = re.sub(r' (width|height|version|xmlns(:xlink)?)="[^"]*"', "", head)  # HTML needs no namespaces
    body = re.sub(r"<(metadata|style).*?</\1>", "", body, flags=re.S)
    body = re.sub(r"\n\s*", " ", re.sub(r"<[^<>]+>", _page_tag, body))
    return Markup('<svg{} role="img"><title>{}</title><desc>{}</desc>{}').format(Markup(head), title, description,
                                                                                 Markup(body))


def unique_ids(page: str) -> str:
    """The page with ids of its figures that no two figures share: equal figures have equal ids, and a page may hold one of
    them twice."""
    number = itertools.count()

    def renamed(figure: re.Match) -> str:
        return re.sub(r'(id="|href="#|url\(#)(?=[mp][0-9a-f]{10}["\)])', rf"\g<1>f{next(number)}-", figure[0])

    return re.sub(r"<svg .*?</svg>", renamed, page, flags=re.S)


def _page_tag(found: re.Match) -> str:
    """A tag of Matplotlib's SVG as the page holds it. Text between tags is left as it is, numbers in it included."""
    # figure_1, axes_1: every figure would have the same; so would equal images, and nothing refers to them
    tag = re.sub(r' id="([A-Za-z0-9.]+_\d+|image[0-9a-f]{10})"', "", found[0])
    tag = re.sub(r"font-family: [^;\"]+", "font-family: inherit", tag)
    tag = re.sub(r"(font: [^;\"]*?px) [^;\"]+", r"\1 system-ui, sans-serif", tag)
    tag = re.sub(r"base64,([^\"]+)", lambda image: f"base64,{_fewer_colours(image[1])}", tag)
    tag = re.sub(r"\d+\.\d{3,}", lambda number: f"{float(number[0]):.1f}".removesuffix(".0"), tag)
    for variable, colour in PAGE_COLOURS.items():
        tag = tag.replace(colour, f"var(--{variable})")
    return tag


def _fewer_colours(png: str) -> str:
    """A PNG of 128 colours in place of one of millions; both in base64."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.open(io.BytesIO(base64.b64decode(png))).quantize(128).save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()
