"""Upload a model to the Hub with a card, in the form in which `prepare_data.py push` uploads a data set.

    python -m captioning.push runs/mine/captioner ORG/NAME --results runs/mine/results.json
    python -m captioning.push runs/mine/eeg_encoder ORG/NAME --private

FOLDER is a captioner of finetune_llm.py or an encoder of train_eeg_classifier.py. The weights of the base LLM are never
uploaded. The card has the claim and the scores from --results.
"""

import sys
import tempfile
from pathlib import Path

from runtime import hub, options
from runtime.errors import exits_cleanly


def parse(argv: list[str] | None) -> options.Options:
    parser = options.make_parser(__doc__)
    parser.prog = "python -m captioning.push"
    parser.add_argument("folder", metavar="FOLDER", help="folder of a captioner or an encoder")
    hub.push_options(parser, "model")
    parser.add_argument("--results", metavar="JSON", help="results.json of evaluate.py --report; of an encoder, "
                        "scores.json of test_eeg_classifier.py (unset: the one in FOLDER/test)")
    parser.add_argument("--licence", metavar="NAME", help="licence of the model, such as mit (unset: not stated)")
    return options.parse(parser, argv)


@exits_cleanly
def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    from captioning.model_card import save_model

    with tempfile.TemporaryDirectory() as place:
        model = save_model(Path(args.folder), Path(place) / "model", args.results, args.licence, args.repository)
        hub.upload(model, args.repository, "model", args.private)
    print(f"pushed; load it by the name {args.repository}")


if __name__ == "__main__":
    sys.exit(main())
