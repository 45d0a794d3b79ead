"""When, by which command and from which state of the code a result was made."""

import shutil
import subprocess
from datetime import datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def run_facts(command: str | None = None) -> dict[str, str | None]:
    """{"date", "command", "commit"} of a run that ends now. commit: with "+" where files have changed since it; None
    outside a git repository."""
    return {"date": datetime.now().astimezone().strftime("%Y-%m-%d"), "command": command, "commit": commit()}


def commit(root: Path = ROOT) -> str | None:
    """The commit that is checked out in `root`, 12 digits, and "+" where a tracked file differs from it."""
    if not (root / ".git").exists() or not shutil.which("git"):
        return None

    def git(*words):
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else None

    head = git("rev-parse", "--short=12", "HEAD")
    return head and head + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
