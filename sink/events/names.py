"""What settings of events mean: names of cameras, the secret of webhooks."""

from emotion_stream.shared.errors import UsageError
from emotion_stream.shared.messages.types import CAMERA_NAME
from emotion_stream.shared.settings.result_options import EventOptions
from emotion_stream.sink.events.broker import read_secret

LONGEST = 100


def camera_names(options: EventOptions) -> dict[str, str]:
    """Camera to what people call it.

    Raises:
        UsageError: one is malformed.
    """
    found = {}
    for text in options.camera_name:
        camera, _, name = text.partition("=")
        name = name.strip()
        if not CAMERA_NAME.fullmatch(camera) or not name or len(name) > LONGEST or not name.isprintable():
            raise UsageError(
                f"--camera-name {text!r}: write CAMERA=NAME, such as hall='Main door', {LONGEST} letters at most"
            )
        found[camera] = name
    return found


def webhook_secret(options: EventOptions) -> str:
    """The secret that signs what webhooks send; empty: none.

    Raises:
        EmotionError: its file cannot be read.
    """
    if options.webhook_secret_file:
        return read_secret(options.webhook_secret_file, "--webhook-secret-file")
    return options.webhook_secret
