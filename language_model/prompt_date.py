"""The date in prompts. Some chat templates write today's (Llama-3.2, SmolLM3, Granite), so captions would change overnight.

The date is fixed when training starts and kept with the captioner.
"""

import copy
import json
from datetime import datetime
from pathlib import Path

from runtime import processes
from runtime.errors import InputError
from runtime.runs import read_json, write_json

from transformers import PreTrainedTokenizerBase

from language_model.prompts import render

FILE = "prompt_date.json"  # in the folder of a captioner, and beside the checkpoints of a training, if its prompts hold one
_CODES = "aAbBcdDeFgGhHIjklmMnpPrRsStTuUVwWxXyYzZ"
# The macro hides the function of this name that transformers gives to templates. The line break after it belongs to it.
_MACRO = """{%- macro strftime_now(format) -%}
{%- set text = namespace(value=format) -%}
{%- for code, value in PARTS -%}{%- set text.value = text.value.replace(code, value) -%}{%- endfor -%}
{{ text.value }}
{%- endmacro %}
"""


def with_date(tokenizer: PreTrainedTokenizerBase, moment: datetime | str | None) -> PreTrainedTokenizerBase:
    """A copy of the tokenizer in whose chat template it is always `moment`, maybe given as YYYY-MM-DD; None: unchanged."""
    if moment is None:
        return tokenizer
    moment = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    parts = [(f"%{flag}{code}", moment.strftime(f"%{flag}{code}")) for flag in ("", "-") for code in _CODES]
    macro = _MACRO.replace("PARTS", json.dumps(parts))
    dated, template = copy.copy(tokenizer), tokenizer.chat_template
    dated.chat_template = ({name: macro + text for name, text in template.items()} if isinstance(template, dict)
                           else template and macro + template)
    return dated


def holds_date(tokenizer: PreTrainedTokenizerBase, template: str) -> bool:
    """Whether the prompts of this tokenizer and template depend on the day or time."""
    days = datetime(2001, 2, 3, 4, 5, 6), datetime(2024, 11, 30, 17, 28, 39)
    first, second = (render(with_date(tokenizer, day), template, "Describe it:") for day in days)
    return first != second


def today(tokenizer: PreTrainedTokenizerBase) -> str:
    """Today's date as the chat template would see it: YYYY-MM-DD."""
    return tokenizer.apply_chat_template([{"role": "user", "content": ""}], tokenize=False,
                                         chat_template="{{ strftime_now('%Y-%m-%d') }}")


def start_date(tokenizer: PreTrainedTokenizerBase, template: str, checkpoints: Path | None,
               asked: str | None) -> str | None:
    """The date YYYY-MM-DD in the prompts of a training that starts now, or None if they hold none.

    checkpoints: the folder of an interrupted training to go on with, whose date it is; or None. asked: by --prompt_date.
    """
    started = processes.from_main(lambda: checkpoints and kept_date(checkpoints))
    if started and asked and started != asked:
        raise InputError(f"--prompt_date {asked}: the interrupted training began with the date {started}; leave "
                         "--prompt_date out, or run without --resume")
    if not holds_date(tokenizer, template):
        if asked:
            print(f"note: --prompt_date {asked}: has no effect, as the prompts of this LLM hold no date")
        return None
    date = processes.from_main(lambda: started or asked or today(tokenizer))
    print(f"the prompts of this LLM hold a date, which stays {date} for this captioner (--prompt_date)")
    return date


def keep_date(date: str | None, folder: Path) -> None:
    """Write the date of a training to the folder of its captioner or checkpoints; None removes that of an earlier one."""
    if date is not None:
        write_json(folder / FILE, {"date": date})
    elif processes.is_main():
        (folder / FILE).unlink(missing_ok=True)


def fixed_date(tokenizer: PreTrainedTokenizerBase, template: str, folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a captioner's folder, with the date that is kept there, if its prompts hold one."""
    if not holds_date(tokenizer, template):
        return tokenizer
    date = kept_date(folder)
    if date is None:
        print(f"note: {folder}: the prompts hold today's date, since the captioner keeps none (an earlier version or a "
              "predecessor wrote it), so captions may differ from day to day; to fix the date, write "
              f'{{"date": "{today(tokenizer)}"}} to {FILE} there')
    return with_date(tokenizer, date)


def kept_date(folder: Path) -> str | None:
    """The date YYYY-MM-DD in the prompts of a captioner's folder, or None if none is kept."""
    file = Path(folder) / FILE
    if not file.is_file():
        return None
    date = read_json(file).get("date")
    try:
        return datetime.strptime(date, "%Y-%m-%d").strftime("%Y-%m-%d")
    except (TypeError, ValueError):
        raise InputError(f"{file}: date {str(date)[:40]!r}, expected one as 2026-01-31; copy the captioner again") from None
