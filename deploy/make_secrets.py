"""make_secrets.py [FOLDER]: writes what Redis and the stages need to know each other, before Redis starts.

    /secrets/redis/users.acl          the users, with the hashes of their passwords
    /secrets/redis/password.operator  the operator's password; beside it those of KEDA and the health check
    /secrets/<stage>/redis.toml       the stage's settings: the URL with its password
    /secrets/operator/redis.toml      the same for the operator's commands
    /secrets/sink/web.token           the token of the web page, for Kubernetes
    /secrets/*/ca.pem, /secrets/redis/server.{pem,key}     with REDIS_TLS=1

Each folder is a volume (Kubernetes: a secret) of its own, which only that service mounts. Passwords are those of
the environment (REDIS_PASSWORD_<USER>), else those written before, else random ones. Only the standard library: it
runs in a plain Python image.
"""

import hashlib
import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

STAGES = ("producer", "detector", "classifier", "sink")
CLIENTS = (*STAGES, "operator")
"""Those that get a settings file: the stages, and the person who looks after them (the service `tools`)."""
USERS = (*CLIENTS, "scaler", "health")
MOUNTED = "/run/emotion"
"""Where a service sees its folder."""
DAYS = 3650


def render(template: str, passwords: Mapping[str, str]) -> str:
    """The text of an ACL file: one line per user, with the hash of each password."""
    text = re.sub(r"^#.*\n", "", template, flags=re.MULTILINE)
    text = re.sub(r"\n[ \t]+", " ", text)
    for user, password in passwords.items():
        text = text.replace(f"{{{user}}}", "#" + hashlib.sha256(password.encode()).hexdigest())
    return re.sub(r"\n+", "\n", text).lstrip()


def url(user: str, password: str, host: str, tls: bool) -> str:
    """The URL that a stage connects to."""
    end = f"?ssl_ca_certs={MOUNTED}/ca.pem" if tls else ""
    return f"redis{'s' if tls else ''}://{user}:{quote(password, safe='')}@{host}:6379/0{end}"


def write(path: Path, text: str) -> None:
    """Replace a file as a whole. Others may read it: the volume is what only its service has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(text)
    new.chmod(0o644)
    new.replace(path)


def choose(user: str, given: str, folder: Path) -> str:
    """A user's password: the given one, the one chosen before, or a random one."""
    kept = folder / (user if user in STAGES else "redis") / f"password.{user}"
    password = given or (kept.read_text() if kept.exists() else secrets.token_urlsafe(32))
    write(kept, password)
    return password


def certificates(folder: Path, host: str) -> None:
    """A certificate authority and the server's certificate, made once."""
    redis = folder / "redis"
    if not (redis / "server.pem").exists():
        name = f"subjectAltName=DNS:{host},DNS:localhost,IP:127.0.0.1"
        new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        for arguments in (
            [*new, "-days", f"{DAYS}", "-subj", "/CN=emotion-stream CA", "-keyout", "ca.key", "-out", "ca.pem",
             "-addext", "keyUsage=critical,keyCertSign"],
            [*new, "-days", f"{DAYS}", "-subj", f"/CN={host}", "-keyout", "server.key", "-out", "server.pem",
             "-CA", "ca.pem", "-CAkey", "ca.key", "-addext", name, "-addext", "basicConstraints=critical,CA:FALSE",
             "-addext", "authorityKeyIdentifier=keyid"],
        ):  # fmt: skip
            subprocess.run(arguments, cwd=redis, check=True, capture_output=True, timeout=60)
        (redis / "server.key").chmod(0o644)  # the volume is Redis' own
        (redis / "ca.key").unlink()  # nothing else will be signed with it
    for stage in CLIENTS:
        write(folder / stage / "ca.pem", (redis / "ca.pem").read_text())


def main(folder: Path, environment: Mapping[str, str]) -> None:
    """Write all files that are missing or no longer right."""
    host, tls = environment.get("REDIS_HOST", "redis"), environment.get("REDIS_TLS") == "1"
    passwords = {
        user: choose(user, environment.get(f"REDIS_PASSWORD_{user.upper()}", ""), folder) for user in USERS
    }
    template = Path(__file__).with_name("redis") / "users.acl"
    write(folder / "redis" / "users.acl", render(template.read_text(), passwords))
    token = folder / "sink" / "web.token"
    write(token, token.read_text() if token.exists() else secrets.token_urlsafe(32))
    if tls:
        certificates(folder, host)
    for stage in CLIENTS:
        settings = f"redis = {json.dumps(url(stage, passwords[stage], host, tls))}\n"
        write(folder / stage / "redis.toml", settings)
    given = [user for user in USERS if environment.get(f"REDIS_PASSWORD_{user.upper()}")]
    print(f"passwords of {', '.join(given) or 'nobody'} from .env, others random", file=sys.stderr)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("/secrets"), os.environ)
