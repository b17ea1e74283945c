"""The settings of results: where they go, how they are shown, who learns of them, and how long they stay."""

from dataclasses import dataclass

from emotion_stream.shared.settings.loading import option


@dataclass(frozen=True, slots=True)
class SinkOptions:
    """Results: where they go."""

    output: tuple[str, ...] = option(
        (),
        "window, web[=HOST:PORT], jsonl=FILE (- is standard output), video=FILE.mp4, csv=FILE, sqlite=FILE,"
        " images=DIR or faces=DIR (a few faces of each emotion), events=FILE, webhook=URL,"
        " mqtt://USER:PASSWORD@HOST:PORT/PREFIX or mqtts://...; repeat for several",
        metavar="SPEC",
    )
    sink: str = option("sink", "name of this sink; every name sees each result once", metavar="NAME")
    per_camera: bool = option(False, "write one video per camera, FILE-CAMERA.mp4, as happens for several sources")
    expect: tuple[str, ...] = option((), "names of cameras to show before their first frame comes", metavar="NAME")
    hold_back: float = option(
        1.0, "live: seconds to wait for a missing frame before later frames are shown", low=0, high=60
    )
    video_fps: float | None = option(
        None, "frame rate of written videos; default: that of the source", low=0.1, high=1000
    )
    confirm: str = option(
        "4/6", "show a face after it was found in K of N consecutive frames; 1/1: at once", metavar="K/N"
    )
    smoothing: float = option(
        0.3,
        "half-life, in seconds of the medium, of the average over the probabilities of a face; 0: no average",
        low=0,
        high=60,
    )


@dataclass(frozen=True, slots=True)
class ShowOptions:
    """Display: how faces are shown, in streams and in pictures."""

    uncertain: str = option(
        "auto",
        "call a face uncertain if its best label is less probable than this; auto: as the model says",
        metavar="auto|off|P",
    )
    blur_faces: bool = option(False, "blur every face that was found, in everything that is shown or stored")
    blur_delay: float = option(
        0.0,
        "live: seconds for which --blur-faces holds frames back, so that faces that enter are blurred from their"
        " first frame; 0: they show until they have been found; lossless frames are always held back",
        low=0,
        high=10,
    )
    notice: str = option(
        "", "line of text to show with the pictures, such as: emotion recognition in use", metavar="TEXT"
    )


@dataclass(frozen=True, slots=True)
class LanguageOptions:
    """Language: of what people read."""

    language: str = option(
        "auto",
        "language of the page, the report, the window and what is drawn into pictures: en, de, or a file such as"
        " fr.toml (docs/how-to/languages.md); auto: the page follows the browser, all else is English",
        metavar="auto|en|de|FILE",
    )


@dataclass(frozen=True, slots=True)
class WebOptions:
    """Web page: who may look at it."""

    web_token: str = option(
        "",
        "token that opens the web page; set it as EMOTION_WEB_TOKEN, because other users can read flags; default:"
        " none on 127.0.0.1, elsewhere a new token that is printed",
        metavar="TOKEN",
    )
    web_open_to_anyone: bool = option(
        False, "show the web page without a token to anyone who can reach its address"
    )
    web_published: str = option(
        "",
        "address that people open, as a container or proxy publishes it; it is printed at the start",
        metavar="URL",
    )
    web_host: tuple[str, ...] = option(
        (),
        "further host name by which the web page may be requested, as behind a proxy; repeat for several",
        metavar="NAME",
    )
    web_root_path: str = option(
        "",
        "path below which a proxy serves the web page, such as /emotion, whether the proxy strips it or not",
        metavar="PATH",
    )
    web_viewers: int = option(
        32, "highest number of live views of the web page at the same time", low=1, high=1000
    )
    editable: bool = option(
        False,
        "let whoever has the token save the areas of cameras, drawn on the web page, in the settings file, which"
        " is read again then",
    )
    areas_file: str = option(
        "",
        "settings file that areas are saved in; default: that of --cameras-file, or of --config",
        metavar="FILE",
    )
    poster_after: float = option(
        600.0,
        "seconds after which a face that has neither moved nor changed is offered on the web page to be ignored;"
        " 0: never",
        low=0,
        high=86_400,
    )


@dataclass(frozen=True, slots=True)
class EventOptions:
    """Events: what is told of faces and cameras, and how it reaches other software (docs/how-to/events.md)."""

    event_hold: float = option(
        1.0, "seconds for which an emotion must be shown until it counts as changed", low=0, high=60
    )
    camera_name: tuple[str, ...] = option(
        (), "name by which people know a camera, told with its events; repeat for several", metavar="CAMERA=NAME"
    )
    event_pictures: bool = option(False, "send a small picture of the face with the events of webhooks")
    webhook_secret: str = option(
        "",
        "secret that signs what webhooks send; set it as EMOTION_WEBHOOK_SECRET, because other users can read"
        " flags",
        metavar="SECRET",
    )
    webhook_secret_file: str | None = option(None, "file with the secret for webhooks", metavar="FILE")
    mqtt_password_file: str | None = option(
        None, "file with the password for the MQTT broker, in place of one in its URL", metavar="FILE"
    )
    mqtt_ca: str | None = option(
        None, "certificates that the broker of mqtts:// is checked against; default: the system's", metavar="FILE"
    )
    mqtt_cert: str | None = option(None, "certificate that this program shows to the broker", metavar="FILE")
    mqtt_key: str | None = option(None, "key of --mqtt-cert, if that file does not hold it", metavar="FILE")
    mqtt_frames: bool = option(False, "send every result to the broker, too, not only events and states")
    mqtt_discovery: str = option(
        "homeassistant", "topic below which Home Assistant finds the cameras; empty: they are not announced"
    )


@dataclass(frozen=True, slots=True)
class KeepOptions:
    """Retention: how long results are kept, and how much room they take (docs/how-to/retention.md)."""

    keep: str = option(
        "off",
        "how long results are kept: 7d, 12h or 4w; off: until you delete them. With --keep, --keep-size or"
        " --keep-free, files roll over, and a new run goes on where the last one stopped",
        metavar="TIME|off",
    )
    keep_size: str = option(
        "off", "how much room all results of a run may take: 20G or 500M; the oldest go first", metavar="SIZE|off"
    )
    keep_free: str = option(
        "off",
        "how much of a disk stays free: 2G; the oldest results go early, then nothing is written until there is"
        " room again",
        metavar="SIZE|off",
    )
    roll: tuple[str, ...] = option(
        (),
        "when a new file begins: each 1d (default), 1h or 15m of UTC, or at a size such as 500M; or both",
        metavar="TIME|SIZE",
    )


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """Files: what may be overwritten."""

    force: bool = option(
        False,
        "replace files that this program has not written; files that are read, or named twice, are always refused",
    )
