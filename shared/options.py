"""Every setting of every process, declared once. One TOML file or environment can serve all of them."""

from dataclasses import dataclass
from typing import Literal

from shared.settings import option


@dataclass(frozen=True, slots=True)
class CommandOptions:
    """What every command takes."""

    config: str | None = option(None, "TOML file with settings", metavar="FILE")
    log_level: str = option(
        "info", "least severe log line to print", choices=("debug", "info", "warning", "error")
    )
    log_format: str = option("human", "how log lines look", choices=("human", "json"))


@dataclass(frozen=True, slots=True)
class CommonOptions(CommandOptions):
    """What every process of the pipeline takes: where it serves its metrics and its health."""

    metrics_host: str = option("127.0.0.1", "address to serve /metrics, /livez and /readyz on", metavar="HOST")
    metrics_port: int | None = option(
        None, "port for metrics and health; 0 picks a free one", low=0, high=65535, metavar="PORT"
    )


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Where the streams are."""

    redis: str = option(
        "redis://localhost:6379/0",
        "Redis or Valkey: redis://, rediss:// or unix://; default: redis://localhost:6379/0, but `emotion run`"
        " starts a server of its own",
        metavar="URL",
    )
    redis_password_file: str | None = option(
        None, "file that holds the password for --redis, as secrets are mounted into containers", metavar="FILE"
    )
    cluster: bool = option(False, "--redis is a node of a Redis Cluster: find the shard's master, and follow it")
    namespace: str = option("emotion", "prefix of every key, so that several systems share one server")
    shards: int = option(1, "number of shards the cameras are spread over", low=1, high=1024, metavar="N")
    shard: int = option(
        0, "the shard this process serves, from 0; a producer serves all of them", low=0, high=1023, metavar="K"
    )


@dataclass(frozen=True, slots=True)
class LinkOptions(ServerOptions):
    """How a worker deals with silent colleagues, bad messages and old frames."""

    slot: str = option(
        "",
        "stable name of this worker among its kind, so that a restarted one resumes its own work;"
        " {host} stands for the name of the machine or container",
    )
    parent: int | None = option(None, "stop when this process is no longer the parent", low=1, metavar="PID")
    claim_after: float = option(
        20.0, "seconds after which messages of a silent worker are taken over", low=0.2, high=3600
    )
    watchdog: float = option(
        10.0, "seconds after which a worker stuck in one batch ends itself", low=0.1, high=1800
    )
    max_deliveries: int = option(
        3, "deliveries after which a message is set aside as a dead letter", low=1, high=100
    )
    max_age: float = option(
        0.5, "live mode: seconds after which an unprocessed frame is dropped", low=0.01, high=60
    )


@dataclass(frozen=True, slots=True)
class ProducerOptions:
    """What the producer reads and how."""

    source: tuple[str, ...] = option(
        (),
        "[NAME=]SRC: camera index, rtsp:// or http:// URL, video file, image folder or glob, or `sample`;"
        " repeat for several cameras",
        metavar="SRC",
    )
    mode: str = option(
        "auto",
        "live: newest frames win; lossless: nothing is dropped; auto: live for cameras and URLs",
        choices=("auto", "live", "lossless"),
    )
    fps: float | None = option(
        None, "live: at most this many frames per second; pictures: their rate", low=0.01, high=1000
    )
    max_width: int = option(0, "scale wider frames down to this many pixels; 0 keeps them", low=0, high=16384)
    loop: bool = option(False, "start files and folders again when they end (live mode)")
    jpeg_quality: int = option(90, "quality of JPEG encoding, 1 to 100", low=1, high=100)
    run_id: str = option("", "name of this run: the epoch of lossless frames")
    go: str = option("", "begin when this file is there; sources are opened before", metavar="FILE")
    in_flight: int = option(128, "lossless: frames of one camera on their way at the most", low=1, high=100_000)
    in_flight_bytes: int = option(
        64 * 2**20, "lossless: bytes of one camera on their way at the most", low=2**20, high=2**36
    )
    replicas: int = option(
        0, "lossless: replicas of the server that must have a frame before the next is sent", low=0, high=16
    )
    frames_bytes: int = option(
        64 * 2**20, "live: bytes that frames may take in Redis at the most", low=2**20, high=2**36
    )
    stall_after: float = option(
        5.0, "seconds without a new picture after which a camera is reported and reopened", low=0.2, high=600
    )


@dataclass(frozen=True, slots=True)
class DetectorOptions:
    """How faces are found."""

    cascade: str = option(
        "haarcascade_frontalface_alt2",
        "Haar cascade: a name that OpenCV ships, or an XML file",
        metavar="NAME|FILE",
    )
    scale_factor: float = option(1.15, "step between the scales searched", low=1.01, high=2)
    min_neighbors: int = option(3, "overlapping hits that make a face", low=1, high=50)
    min_face: float = option(
        0.04, "smallest face searched for, as a fraction of the frame's shorter side", low=0.005, high=1
    )
    scan_width: int = option(
        640, "pixels that wider frames are scaled down to for the search; 0: never", low=0, high=16384
    )
    max_faces: int = option(64, "most faces taken from one frame, the surest first", low=1, high=256)
    scan_every: int = option(
        150,
        "video: frames in which the whole picture is scanned once, a part at a time; besides, faces are searched"
        " where they were, and where something moved; 1: scan every frame as a whole",
        low=1,
        high=100_000,
    )
    detect_batch: int = option(4, "frames that a detector takes at once", low=1, high=256)


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """Which trained model detectors cut for and classifiers run."""

    model: str | None = option(
        None, "folder with manifest.json and weights; default: the model that comes along", metavar="DIR"
    )


@dataclass(frozen=True, slots=True)
class ClassifierOptions:
    """How faces are labelled."""

    backend: Literal["openvino", "tensorflow"] = option(
        "openvino", "inference back end", choices=("openvino", "tensorflow")
    )
    precision: str = option("int8", "precision of the weights to serve", metavar="int8|bf16|fp32")
    head: str | None = option(
        None, "which of the model's outputs to show; default: as the model says", metavar="consensus|fer2013"
    )
    threads: int = option(1, "threads for inference", low=1, high=256)
    classify_wait: float = option(
        0.003, "seconds that a busy classifier waits for more faces to label at once", low=0, high=0.1
    )
    classify_batch: int = option(32, "messages that a classifier takes at once", low=1, high=512)


@dataclass(frozen=True, slots=True)
class SinkOptions:
    """Where results go."""

    output: tuple[str, ...] = option(
        (),
        "window, web[=HOST:PORT], jsonl=FILE (- is standard output), video=FILE.mp4, csv=FILE, sqlite=FILE,"
        " images=DIR or faces=DIR (a few faces of each emotion); repeatable",
        metavar="SPEC",
    )
    sink: str = option("sink", "name of this sink; each name sees every result once", metavar="NAME")
    per_camera: bool = option(False, "one video file per camera, FILE-CAMERA.mp4, as for several sources")
    expect: tuple[str, ...] = option((), "cameras to show before their first frame", metavar="NAME")
    hold_back: float = option(
        1.0, "live: seconds to wait for a frame that is missing in the order", low=0, high=60
    )
    video_fps: float | None = option(
        None, "frame rate of video files; default: that of the medium", low=0.1, high=1000
    )
    confirm: str = option(
        "4/6", "a face is shown once it was found in K of N frames in a row; 1/1: at once", metavar="K/N"
    )
    smoothing: float = option(
        0.3, "half-life, seconds of the medium, of the average over a face's probabilities; 0: off", low=0, high=60
    )


@dataclass(frozen=True, slots=True)
class ShowOptions:
    """How faces are shown, in streams and in single pictures."""

    uncertain: str = option(
        "auto",
        "faces whose best label is less probable than this are called uncertain; auto: as the model says",
        metavar="auto|off|P",
    )
    blur_faces: bool = option(False, "hide faces in everything shown or stored that has pixels")
    notice: str = option(
        "", "a line to show with the pictures, such as: emotion recognition in use", metavar="TEXT"
    )


@dataclass(frozen=True, slots=True)
class WebOptions:
    """Who may look at the page of the output `web`."""

    web_token: str = option(
        "",
        "token that opens the web page; better set as EMOTION_WEB_TOKEN, which other users cannot read;"
        " default: none on 127.0.0.1, elsewhere one made anew and printed",
        metavar="TOKEN",
    )
    web_open_to_anyone: bool = option(
        False, "show the web page without a token to everybody who can reach its address"
    )
    web_host: tuple[str, ...] = option(
        (),
        "further host name that the web page may be asked for by, as behind a proxy; repeatable",
        metavar="NAME",
    )
    web_viewers: int = option(32, "live views of the web page at once at the most", low=1, high=1000)


@dataclass(frozen=True, slots=True)
class PrintOptions:
    """How a command prints its results."""

    json: bool = option(False, "print JSON instead of a table")


@dataclass(frozen=True, slots=True)
class PictureOptions(PrintOptions):
    """What `emotion picture` reads, and how it prints. Its `--output` is declared beside the command."""

    image: tuple[str, ...] = option((), "picture, folder or glob; repeat for several", metavar="FILE")
    window: bool = option(False, "show each picture with its faces in a window; any key goes on, q ends")


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the one-machine runner adds."""

    detectors: int = option(0, "detector processes; 0: chosen from the cores", low=0, high=256)
    classifiers: int = option(0, "classifier processes; 0: chosen from the cores", low=0, high=256)
    summary_json: str | None = option(None, "write the summary to this file, too", metavar="FILE")
    report: str | None = option(
        None, "write a report with charts and faces at the end: one HTML page", metavar="FILE"
    )
    state: str | None = option(None, "folder for the embedded server's data and the workers' logs", metavar="DIR")


@dataclass(frozen=True, slots=True)
class DataOptions:
    """Labelled faces to train on, or to measure with."""

    data: str | None = option(None, "fer2013.csv, or a folder with train/ and test/", metavar="PATH")
    ferplus: str | None = option(
        None, "fer2013new.csv with the votes of FER+, for the consensus head", metavar="FILE"
    )


@dataclass(frozen=True, slots=True)
class TrainOptions(DataOptions):
    """What is trained, on what, and how."""

    weights: str = option(
        "imagenet",
        "initial weights: imagenet (downloaded), none, Keras' file of them, or a model's .npz to train on",
        metavar="imagenet|none|FILE",
    )
    freeze: int = option(0, "the first N of VGG16's five blocks stay as they are", low=0, high=5, metavar="N")
    recipe: str = option(
        "full",
        "full trains all layers; frozen is the original: ImageNet's layers as they are, 64 px, a small dense head",
        choices=("full", "frozen"),
    )
    name: str = option("", "name of the run; default: the time")
    resume: bool = option(False, "continue the run --name, or the newest unfinished one")
    epochs: int = option(40, "passes over the training images at the most", low=1, high=10_000)
    batch: int = option(64, "images per step", low=2, high=8192)
    size: int = option(48, "side of the input, pixels", low=32, high=224)
    width: float = option(1.0, "channels of every layer relative to VGG16's", low=0.02, high=1)
    limit: int = option(0, "images per class of each split, for a quick try; 0 takes all", low=0, high=100_000)
    seed: int = option(1, "where chance starts", low=0, high=2**31)
    optimizer: str = option("sgd", "sgd (Nesterov momentum) or adamw", choices=("sgd", "adamw"))
    learning_rate: float | None = option(None, "peak; default: 0.02 for sgd, 0.0003 for adamw", low=1e-7, high=1)
    schedule: str = option(
        "cosine",
        "cosine: down to 0 after a warm-up; plateau: less each time validation stalls",
        choices=("cosine", "plateau"),
    )
    patience: int = option(0, "epochs without gain after which training stops; 0: never", low=0, high=10_000)
    weight_decay: float = option(5e-4, "pull of kernels towards 0", low=0, high=1)
    label_smoothing: float = option(0.1, "share of each FER-2013 label spread over all classes", low=0, high=0.9)
    dropout: float = option(0.5, "share of features dropped before the heads", low=0, high=0.95)
    batch_norm: bool = option(True, "normalise after each convolution; folded into it at the export")
    average: float = option(0.999, "decay of the running average of all weights; 0: none", low=0, high=0.99999)
    class_weights: str = option("none", "how much more rare classes weigh", choices=("none", "sqrt", "balanced"))
    augmentation: bool = option(True, "vary the training images")
    mix: str = option(
        "none",
        "mixup blends pairs of images and their labels, cutmix pastes a part of one into the other",
        choices=("none", "mixup", "cutmix"),
    )
    mix_alpha: float = option(
        0.2, "how evenly they are mixed: the share is drawn from Beta(A, A)", low=0.01, high=10, metavar="A"
    )
    teacher: tuple[str, ...] = option(
        (), "learn from the answers of this finished run, too; repeat for several", metavar="RUN"
    )
    teacher_share: float = option(0.5, "share of the teachers' answers in the loss", low=0, high=1)
    mixed_precision: bool = option(False, "compute in bfloat16")
    max_minutes: float = option(
        0, "time for training, over all sessions of the run; 0: as long as it takes", low=0, high=100_000
    )


@dataclass(frozen=True, slots=True)
class RunsOptions:
    """Where training runs are kept."""

    runs: str = option("runs", "folder of the training runs, one folder each", metavar="DIR")


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """What `emotion bench` measures, and for how long."""

    only: tuple[str, ...] = option(
        (), "measure only these; repeatable", choices=("throughput", "latency", "cameras", "scaling", "start")
    )
    quick: bool = option(False, "a short run: see that it works, do not trust the figures")
    clip: str | None = option(None, "video to play; default: the sample clip", metavar="FILE")
    rounds: int = option(3, "how often each thing is measured, in turns", low=1, high=100)
    frames: int = option(1000, "frames of a lossless run; the clip is cut or repeated", low=1, high=1_000_000)
    seconds: float = option(15.0, "length of a live run, and time that each peer gets", low=0.5, high=3600)
    most_cameras: int = option(32, "where the search for the number of cameras ends", low=1, high=256)
    fer_python: str | None = option(
        None, "Python of an environment with the fer package, to compare with", metavar="PYTHON"
    )
    markdown: str | None = option(None, "write the tables into this file, between its markers", metavar="FILE")
    profile: str | None = option(None, "profile every process, and write the profiles here", metavar="DIR")


@dataclass(frozen=True, slots=True)
class EvaluateOptions(DataOptions):
    """What a model is measured with, and what of it is drawn."""

    split: str = option("PublicTest", "images to measure with", choices=("Training", "PublicTest", "PrivateTest"))
    charts: str | None = option("out/evaluation", "folder for the pictures; empty: none are drawn", metavar="DIR")
    card: str | None = option(None, "Markdown file whose section on this head is written anew", metavar="FILE")


@dataclass(frozen=True, slots=True)
class ExportOptions(DataOptions):
    """What is exported. Its `--weights` and `--output` are declared beside the command."""

    formats: tuple[str, ...] = option(
        (),
        "files to write: int8 and weights (float16, all others can be built from it), which are the default;"
        " fp32, bf16, keras",
        metavar="FORMAT",
        choices=("int8", "weights", "fp32", "bf16", "keras"),
    )
    margin: float = option(0.015, "what detectors add to each side of a face, as a fraction of it", low=0, high=1)


ALL = (
    CommandOptions,
    CommonOptions,
    ServerOptions,
    LinkOptions,
    ProducerOptions,
    DetectorOptions,
    ModelOptions,
    ClassifierOptions,
    PrintOptions,
    PictureOptions,
    SinkOptions,
    ShowOptions,
    WebOptions,
    RunOptions,
    DataOptions,
    TrainOptions,
    RunsOptions,
    BenchOptions,
    EvaluateOptions,
    ExportOptions,
)
