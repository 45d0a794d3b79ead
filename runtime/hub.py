"""Uploads to the Hugging Face Hub: data sets and models in the same way."""

import argparse
from pathlib import Path

from runtime.atomic_files import TEMPORARY
from runtime.errors import InputError
from runtime.locks import LOCK


def push_options(command: argparse.ArgumentParser, what: str) -> None:
    """The repository and who may see it; what: a word for what is uploaded."""
    command.add_argument("repository", metavar="ORG/NAME", help=f"{what} repository on the Hub, created if absent")
    command.add_argument("--private", action="store_true", help="make the repository private")


def upload(folder: Path | str, repository: str, kind: str, private: bool) -> None:
    """Upload a folder to a Hub repository of `kind` ("model" or "dataset"), which is created if absent."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError, HTTPError, LocalTokenNotFoundError

    api = HfApi()
    try:
        api.create_repo(repository, repo_type=kind, private=private, exist_ok=True)
        api.upload_folder(repo_id=repository, folder_path=folder, repo_type=kind,
                          ignore_patterns=[f"{LOCK}*", f"{TEMPORARY}*"])
    except (HTTPError, HFValidationError, LocalTokenNotFoundError, OSError) as error:
        raise InputError(f"{repository}: cannot be pushed to ({str(error).splitlines()[0][:200]}); log in with "
                         "`hf auth login`, check the name and the connection") from None
