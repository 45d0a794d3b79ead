"""Open an app in the browser: choose a model, pick a data set's trial or drop a recording, and see what is read from it.

    python app.py --model_path demo/simulated/captioner --eeg_dataset demo/simulated/data \\
        --results demo/simulated/results.json
    python app.py --model_path runs/a/captioner runs/b/captioner

It shows the signal, scalp maps, the evoked response, the picture if it is known, class probabilities, and the caption under
each condition side by side. On top stands what may be claimed for the model. The page is served on this machine only.
"""

import os
import sys
from importlib.util import find_spec

from runtime import options, small_models
from runtime.errors import InputError, exits_cleanly


def parse(argv: list[str] | None) -> options.Options:
    parser = options.make_parser(__doc__)
    parser.add_argument("--model_path", nargs="+", required=True, metavar="FOLDER", help="captioners: local folders or Hub "
                                                                                         "ids")
    parser.add_argument("--eeg_dataset", metavar="FOLDER", help="data set folder to pick trials from (unset: none)")
    parser.add_argument("--results", metavar="JSON", help="results.json of evaluate.py --report, for the claim")
    options.checked(parser.add_argument("--llm_backbone_name_or_path", "--llm", type=small_models.llm, help=(
        "where the base LLM lies now (unset: where the captioner says)")), small_models.check_llm)
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:N or auto (CUDA if available)")
    parser.add_argument("--port", type=options.bounded(int, 1, 65535), help="port of the page (unset: the first free one "
                                                                            "from 7860 on)")
    return options.parse(parser, argv)


@exits_cleanly
def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    options.check_places(args)
    start(args).block_thread()


def start(args: options.Options) -> object:
    """Serve the page; returns its gradio.Blocks, which knows its `local_url`."""
    if not find_spec("gradio"):
        raise InputError("the app needs the package gradio; pip install -r requirements-app.txt")
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    from captioning.app_page import Models, build

    models = Models(args.model_path, args.eeg_dataset, options.resolve_device(args.device), args.llm_backbone_name_or_path,
                    args.results)
    page = build(models)
    try:
        page.launch(server_name="127.0.0.1", server_port=args.port, share=False, prevent_thread_lock=True, quiet=True,
                    ssr_mode=False, footer_links=[])
    except OSError as error:
        raise InputError(f"--port {args.port or '7860 and following'}: cannot be opened ({error}); give another one"
                         ) from None
    print(f"the app is at {page.local_url}; Ctrl-C ends it", flush=True)
    return page


if __name__ == "__main__":
    sys.exit(main())
