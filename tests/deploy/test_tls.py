"""`rediss://` with the certificates that `deploy/make_secrets.py` makes, on a real server."""

import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from redis.exceptions import ConnectionError

from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.process.service import Service, open_streams
from emotion_stream.shared.settings.options import CommonOptions, LinkOptions
from emotion_stream.shared.streams.connection import connect
from tests.conftest import append_frames
from tests.support.servers import free_port, server, wait_until_up

REDIS = shutil.which("redis-server")  # the embedded server is built without TLS
pytestmark = pytest.mark.skipif(REDIS is None, reason="needs redis-server (Debian: apt install redis-server)")


@pytest.fixture(scope="module")
def folder(secrets: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("secrets")
    secrets.main(made, {"REDIS_TLS": "1"})
    return made


@pytest.fixture(scope="module")
def port(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A server that speaks TLS alone, as `deploy/compose.tls.yml` starts it."""
    number, files = free_port(), folder / "redis"
    flags = {
        "port": "0",
        "tls-port": str(number),
        "tls-cert-file": str(files / "server.pem"),
        "tls-key-file": str(files / "server.key"),
        "tls-auth-clients": "no",
        "aclfile": str(files / "users.acl"),
    }
    arguments = [part for name, value in flags.items() for part in (f"--{name}", value)]
    with server(tmp_path_factory.mktemp("tls"), *arguments, binary=REDIS) as process:
        login = f"health:{(files / 'password.health').read_text()}"
        wait_until_up(connect(f"rediss://{login}@127.0.0.1:{number}?ssl_ca_certs={folder}/sink/ca.pem"), process)
        yield number


def url(secrets: ModuleType, folder: Path, port: int) -> str:
    """The producer's URL, as it is written into its settings, for this machine."""
    password = (folder / "producer" / "password.producer").read_text()
    made = str(secrets.url("producer", password, "127.0.0.1", True))
    return made.replace(":6379", f":{port}").replace(secrets.MOUNTED, str(folder / "producer"))


def test_frames_travel_over_tls(secrets: ModuleType, folder: Path, port: int) -> None:
    service = Service("producer", "one", CommonOptions())
    streams = open_streams(LinkOptions(redis=url(secrets, folder, port)), service)
    assert len(append_frames(streams, 3)) == 3
    assert streams.position("cam", "run") == 3


def test_a_certificate_of_somebody_else_is_refused(
    secrets: ModuleType, folder: Path, port: int, tmp_path: Path
) -> None:
    secrets.main(tmp_path, {"REDIS_TLS": "1"})
    strange = url(secrets, folder, port).replace(str(folder / "producer"), str(tmp_path / "producer"))
    service = Service("producer", "one", CommonOptions())
    with pytest.raises(EmotionError, match=r"not trusted .*certificate verify failed.*ssl_ca_certs") as caught:
        open_streams(LinkOptions(redis=strange), service)
    assert (folder / "producer" / "password.producer").read_text() not in str(caught.value)


def test_without_tls_there_is_no_answer(port: int) -> None:
    with pytest.raises(ConnectionError):
        connect(f"redis://127.0.0.1:{port}").ping()


def test_the_certificate_passes_the_strictest_check(folder: Path) -> None:
    """Python 3.13 checks with X509_STRICT unless told otherwise."""
    files = folder / "redis"
    command = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", str(files / "ca.pem")]
    done = subprocess.run([*command, str(files / "server.pem")], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert ssl.create_default_context(cafile=files / "ca.pem")
