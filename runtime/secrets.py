"""Passwords and keys in URLs, which records, reports and messages must not hold."""

import re
from urllib.parse import unquote

USER = re.compile(r"//[^\s/?#]*@"  # of a URL
                  r"|//[^\s/?#:@]*:(?!\d+(?:[/?#\s'\"]|$))\S*@"  # with a password that should have its / ? # as %2F %3F %23
                  r"|(?:^|(?<=\s))[^\s/?#]+:[^\s/?#]*@")  # of a URL whose scheme was forgotten
PARAMETER = re.compile(r"([?&;#][^\s=&;#]*(?:key|token|secret|pass|pw|auth|sig|credential)[^\s=&;#]*=)[^\s&;#]+", re.I)
HIDDEN = "***"


def without_secrets(value: object) -> object:
    """A text, or JSON-like content, with "***" in place of user and password, and of keys in the query, of each URL."""
    if isinstance(value, dict):
        return {key: without_secrets(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [without_secrets(one) for one in value]
    if not isinstance(value, str):
        return value
    value = USER.sub(lambda match: f"{'//' if match[0].startswith('//') else ''}{HIDDEN}@", value)
    return PARAMETER.sub(rf"\1{HIDDEN}", value)


def secrets_of(url: str) -> set[str]:
    """The texts in a URL that `without_secrets` hides, as they stand there and decoded, so that a server's own words can be
    searched for them."""
    found = {match[0].strip("/").removesuffix("@") for match in USER.finditer(url)}
    found |= {part for user in found for part in user.split(":", 1)}
    found |= {match[0].removeprefix(match[1]) for match in PARAMETER.finditer(url)}
    return {text for secret in found for text in (secret, unquote(secret)) if len(text) > 2}
