"""The settings of the work: how the pipeline's processes are run, read their sources, and find and label faces.

What comes out has its settings in `result_options.py`.
"""

from dataclasses import dataclass
from typing import Literal

from emotion_stream.shared.settings.loading import option


@dataclass(frozen=True, slots=True)
class CommandOptions:
    """Settings of every command."""

    config: str | None = option(None, "TOML file with settings", metavar="FILE")
    log_level: str = option(
        "info", "print log lines of at least this severity", choices=("debug", "info", "warning", "error")
    )
    log_format: str = option(
        "human", "format of log lines: for people, or one JSON object per line", choices=("human", "json")
    )


@dataclass(frozen=True, slots=True)
class CommonOptions(CommandOptions):
    """Metrics and health: where each process of the pipeline serves them."""

    metrics_host: str = option("127.0.0.1", "address that serves /metrics, /livez and /readyz", metavar="HOST")
    metrics_port: int | None = option(
        None,
        "port that serves metrics and health; 0: a free port; default: they are not served",
        low=0,
        high=65535,
        metavar="PORT",
    )


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Redis: where the streams are."""

    redis: str = option(
        "redis://localhost:6379/0",
        "address of Redis or Valkey: redis://, rediss:// or unix://; default: redis://localhost:6379/0, but"
        " `emotion run` starts its own server",
        metavar="URL",
    )
    redis_password_file: str | None = option(
        None,
        "file with the password for --redis, such as a secret that is mounted into a container",
        metavar="FILE",
    )
    cluster: bool = option(
        False, "--redis is one node of a Redis Cluster: find the master of the shard, and follow it"
    )
    namespace: str = option(
        "emotion", "prefix of every key; with different prefixes, several pipelines can share one server"
    )
    shards: int = option(1, "number of shards that the cameras are spread over", low=1, high=1024, metavar="N")
    shard: int = option(
        0,
        "shard that this worker serves, counted from 0; a producer serves all shards",
        low=0,
        high=1023,
        metavar="K",
    )


@dataclass(frozen=True, slots=True)
class LinkOptions(ServerOptions):
    """Recovery: how a worker deals with dead colleagues, bad messages and stale frames."""

    slot: str = option(
        "",
        "stable name of this worker, by which a restarted worker resumes its pending messages; {host} stands for"
        " the name of the machine or container",
    )
    parent: int | None = option(
        None, "stop when the process with this number is no longer the parent", low=1, metavar="PID"
    )
    claim_after: float = option(
        20.0,
        "seconds after which other workers take over the messages of a worker that does not respond",
        low=0.2,
        high=3600,
    )
    watchdog: float = option(
        10.0, "seconds after which a worker that is stuck in one batch ends itself", low=0.1, high=1800
    )
    max_deliveries: int = option(
        3, "number of deliveries after which a message becomes a dead letter", low=1, high=100
    )
    max_age: float = option(
        0.5, "live: age in seconds at which a frame that waits is dropped as stale", low=0.01, high=60
    )


@dataclass(frozen=True, slots=True)
class ProducerOptions:
    """Sources: what the producer reads, and how."""

    source: tuple[str, ...] = option(
        (),
        "[NAME=]SRC: camera index, rtsp:// or http:// URL, video file, image folder or glob, or `sample`;"
        " repeat for several cameras",
        metavar="SRC",
    )
    cameras_file: str | None = option(
        None,
        "TOML file with a table [cameras.NAME] for each camera, where they do not lie in the file of --config",
        metavar="FILE",
    )
    only_cameras: tuple[str, ...] = option(
        (), "take only these cameras of the settings file; default: all", metavar="ID"
    )
    watch_settings: bool = option(
        False, "read the cameras of the settings file again when it changes, as on SIGHUP, without a restart"
    )
    mode: str = option(
        "auto",
        "live: the newest frame wins; lossless: no frame is dropped; auto: live for cameras and URLs",
        choices=("auto", "live", "lossless"),
    )
    fps: float | None = option(
        None,
        "live: highest number of frames per second; lossless: rate at which pictures of a folder count",
        low=0.01,
        high=1000,
    )
    analyze_fps: float | None = option(
        None,
        "highest number of frames per second and camera in which faces are searched and labelled; the other frames"
        " carry the faces on; default: all frames",
        low=0.1,
        high=1000,
    )
    max_width: int = option(0, "width in pixels that wider frames are scaled down to; 0: never", low=0, high=16384)
    sound: bool = option(False, "live: keep the sound of cameras in video=, as they send it, not encoded again")
    loop: bool = option(False, "live: start files and folders again when they end")
    paced: bool = option(False, "lossless: play files at their own speed, for people who watch")
    jpeg_quality: int = option(85, "quality of JPEG encoding, 1 to 100", low=1, high=100)
    run_id: str = option(
        "", "lossless: name of this pass; a producer that is started again with the same name continues it"
    )
    go: str = option(
        "", "open the sources, then wait until this file exists before frames are sent", metavar="FILE"
    )
    in_flight: int = option(128, "lossless: highest number of frames in flight per camera", low=1, high=100_000)
    in_flight_bytes: int = option(
        64 * 2**20, "lossless: highest number of bytes in flight per camera", low=2**20, high=2**36
    )
    replicas: int = option(
        0, "lossless: number of replicas that must have a frame before the next frame is sent", low=0, high=16
    )
    frames_bytes: int = option(
        64 * 2**20, "live: highest number of bytes that frames may take in Redis", low=2**20, high=2**36
    )
    still_seconds: float = option(
        3.0, "live: seconds for which each picture of a folder is shown", low=0.02, high=86_400
    )
    rtsp_transport: str = option(
        "auto",
        "how RTSP cameras send; auto: TCP, and UDP where a camera has no TCP; for one source: `#transport=udp`"
        " behind its address",
        choices=("auto", "tcp", "udp", "udp_multicast"),
    )
    stall_after: float = option(
        5.0,
        "seconds without a new picture after which a camera is reported as lost and opened again",
        low=0.2,
        high=600,
    )


@dataclass(frozen=True, slots=True)
class DetectorOptions:
    """Detection: how faces are found."""

    detector: Literal["haar", "yunet"] = option(
        "haar",
        "haar: upright faces that look at the camera, from about 30 pixels; yunet: also small, tilted and turned"
        " faces, searched in every frame (docs/how-to/detectors.md)",
        choices=("haar", "yunet"),
    )
    align: bool = option(True, "turn faces upright by their landmarks before they are labelled (yunet)")
    min_score: float = option(0.7, "lowest score that counts as a face (yunet)", low=0.05, high=0.99)
    detector_precision: Literal["auto", "fp32", "bf16"] = option(
        "auto",
        "number format of the network; auto: bf16 where the processor computes faster in it (yunet)",
        choices=("auto", "fp32", "bf16"),
    )
    cascade: str = option(
        "haarcascade_frontalface_alt2",
        "name of a Haar cascade that OpenCV ships, or an XML file (haar)",
        metavar="NAME|FILE",
    )
    scale_factor: float = option(
        1.15, "factor between two scales of a search of the whole picture at once (haar)", low=1.01, high=2
    )
    min_neighbors: int = option(3, "number of overlapping hits that count as a face (haar)", low=1, high=50)
    min_face: float | None = option(
        None,
        "smallest face to search for, as a fraction of the shorter side of the frame; default: 0.04 (haar), or"
        " what is found in a picture 320 pixels wide (yunet)",
        low=0.005,
        high=1,
    )
    scan_width: int = option(
        640, "width in pixels that wider frames are scaled down to for the search; 0: never", low=0, high=16384
    )
    max_faces: int = option(64, "highest number of faces per frame; the surest come first", low=1, high=256)
    scan_every: int = option(
        150,
        "video: number of frames in which the whole picture is scanned once, one part per frame (for small faces"
        " up to twice as many after the first frame or a cut); known faces and places that move are searched in"
        " between; 1: scan every frame as a whole (haar)",
        low=1,
        high=100_000,
    )
    detect_batch: int = option(4, "highest number of frames that a detector takes in one batch", low=1, high=256)


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """Model: which network detectors cut faces for and classifiers run."""

    model: str | None = option(
        None,
        "the network: half (default; half the channels, four times faster), full, or a folder with manifest.json",
        metavar="half|full|DIR",
    )


@dataclass(frozen=True, slots=True)
class ClassifierOptions:
    """Classification: how faces are labelled."""

    backend: Literal["openvino", "onnxruntime", "tensorflow"] = option(
        "openvino",
        "inference engine; onnxruntime and tensorflow have to be installed separately (docs/how-to/training.md)",
        choices=("openvino", "onnxruntime", "tensorflow"),
    )
    precision: str = option("int8", "number format of the weights", metavar="int8|bf16|fp32")
    head: str | None = option(
        None, "which output of the model to show; default: as the model says", metavar="consensus|fer2013"
    )
    prior: str | None = option(
        None,
        "how much rare emotions (anger, disgust, fear) gain on frequent ones: natural (0) leaves the shares of the"
        " training images in, balanced is 0.5; default: as the model says",
        metavar="natural|balanced|0..1",
    )
    views: int | None = option(
        None,
        "2: label a face by the mean of itself and its mirror image, at twice the cost; default: 2 for still"
        " pictures, 1 for streams",
        low=1,
        high=2,
    )
    threads: int = option(1, "number of threads for inference", low=1, high=256)
    classify_wait: float = option(
        0.003, "seconds that a busy classifier waits for more faces, to label them in one batch", low=0, high=0.1
    )
    classify_batch: int = option(
        32, "highest number of messages that a classifier takes in one batch", low=1, high=512
    )


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Runner: settings of a pipeline on one machine."""

    detectors: int = option(
        0,
        "highest number of detector processes; all are started, those that are idle for long end, and come back"
        " when they are needed; 0: chosen by the cores and by what there is to do",
        low=0,
        high=256,
    )
    classifiers: int = option(0, "the same for classifier processes", low=0, high=256)
    summary_json: str | None = option(None, "write the summary to this file as JSON", metavar="FILE")
    report: str | None = option(
        None, "write a report with charts and faces at the end, as one HTML page", metavar="FILE"
    )
    state: str | None = option(
        None, "folder for the data of the embedded server and the logs of the workers", metavar="DIR"
    )
