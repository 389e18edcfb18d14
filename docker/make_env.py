"""Write .env from .env.example, each `change-me` replaced by random text; a .env that is there stays."""

import base64
import os
import re
import secrets
from pathlib import Path

ROOT = Path(__file__).parent.parent


def main() -> None:
    target = ROOT / ".env"
    if target.exists():
        return
    text = (ROOT / ".env.example").read_text()
    text = re.sub(r"change-me-fernet", lambda _: base64.urlsafe_b64encode(os.urandom(32)).decode(), text)
    text = re.sub(r"=change-me$", lambda _: "=" + secrets.token_hex(24), text, flags=re.MULTILINE)
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


if __name__ == "__main__":
    main()
