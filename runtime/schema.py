"""The form of JSON files that we read back, told as pydantic types. The first difference is one InputError.

Imported where a file is read: scripts show their --help without pydantic.
"""

import os
from pathlib import Path
from typing import Annotated, Any, TypeVar

from runtime.errors import InputError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

T = TypeVar("T")
MAX_SHOWN = 60  # characters of a wrong value
ABSENT: Any = None  # the default of a field that may be absent, as in files of predecessors and of earlier versions


class Schema(BaseModel):
    """An object whose fields are of the types told. It may hold more, as later versions may say more."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)


def _is_path(value):
    try:
        usable = 0 not in os.fsencode(value)
    except UnicodeEncodeError:
        usable = False
    if not usable:
        raise ValueError(f"is {value[:MAX_SHOWN]!r}, which can be no path")
    return value


def _is_text(value):
    if not isinstance(value, str):
        raise ValueError(f"is {str(value)[:MAX_SHOWN]!r}, expected a text")
    return value


Text = Annotated[object, AfterValidator(_is_text)]  # pydantic's str refuses half a surrogate pair, which paths may hold
PathText = Annotated[Text, AfterValidator(_is_path)]
Count = Annotated[int, Field(ge=0, lt=2**53)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


def check(form: type, content: T, file: str | Path, advice: str) -> T:
    """The content as it is, if it has the form: a Schema, or any type that pydantic knows.

    InputError otherwise, which names the file, the place in it and what was found. advice: the end of that sentence, what
    to do.
    """
    try:
        TypeAdapter(form).validate_python(content)
    except ValidationError as error:
        raise InputError(f"{file}: {_told(error.errors(include_url=False)[0])}; {advice}") from None
    return content


def _told(problem):
    place = ".".join(str(part) for part in problem["loc"] if part != "[key]")
    place = place.encode(errors="backslashreplace").decode()[:3 * MAX_SHOWN]
    if problem["type"] == "missing":
        return f"{place} missing"
    if problem["type"] == "string_unicode":
        return f"{place} is {problem['input'][:MAX_SHOWN]!r}, which is not UTF-8 text"
    if problem["type"] == "value_error":
        return f"{place} {problem['ctx']['error']}".strip()
    return f"{place}: {problem['msg']} (found {str(problem['input'])[:MAX_SHOWN]!r})".removeprefix(": ")
