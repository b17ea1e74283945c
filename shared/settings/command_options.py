"""The settings of the commands beside the pipeline: pictures, training, measuring, exporting."""

from dataclasses import dataclass

from emotion_stream.shared.settings.loading import option


@dataclass(frozen=True, slots=True)
class PrintOptions:
    """Output: how a command prints its results."""

    json: bool = option(False, "print JSON instead of a table")


@dataclass(frozen=True, slots=True)
class CameraOptions(PrintOptions):
    """Cameras: what `emotion cameras` looks at."""

    address: tuple[str, ...] = option(
        (),
        "URL, index or file to look at; repeat for several; none: list the cameras of this machine",
        metavar="SRC",
    )
    look_seconds: float = option(10.0, "seconds for which each of them is looked at", low=1, high=3600)


@dataclass(frozen=True, slots=True)
class PictureOptions(PrintOptions):
    """Pictures: what `emotion picture` reads. Its `--output` is declared beside the command."""

    image: tuple[str, ...] = option((), "picture, folder or glob; repeat for several", metavar="FILE")
    window: bool = option(
        False, "show each picture with its faces in a window; any key shows the next one, q quits"
    )


@dataclass(frozen=True, slots=True)
class DataOptions:
    """Data: labelled faces to train on, or to measure with."""

    data: str | None = option(None, "fer2013.csv, or a folder with the folders train/ and test/", metavar="PATH")
    ferplus: str | None = option(None, "fer2013new.csv, the votes of FER+, for the consensus head", metavar="FILE")


@dataclass(frozen=True, slots=True)
class TrainOptions(DataOptions):
    """Training: what is trained, and how."""

    weights: str = option(
        "imagenet",
        "initial weights: imagenet (downloaded), none, Keras' file of them, or a model's .npz to train on",
        metavar="imagenet|none|FILE",
    )
    freeze: int = option(0, "keep the first N of the five blocks of VGG16 as they are", low=0, high=5, metavar="N")
    recipe: str = option(
        "full",
        "full: train all layers; frozen: the original recipe, with ImageNet's layers as they are, 64 pixels, and a"
        " small dense head",
        choices=("full", "frozen"),
    )
    name: str = option("", "name of the run; default: the date and time")
    resume: bool = option(False, "continue the run that --name names, or the newest unfinished run")
    epochs: int = option(40, "highest number of passes over the training images", low=1, high=10_000)
    batch: int = option(64, "number of images per step", low=2, high=8192)
    size: int = option(48, "width and height of the input in pixels", low=32, high=224)
    width: float = option(1.0, "number of channels of every layer, as a fraction of VGG16's", low=0.02, high=1)
    limit: int = option(0, "number of images per class and split, for a quick try; 0: all", low=0, high=100_000)
    seed: int = option(1, "seed of the random numbers", low=0, high=2**31)
    optimizer: str = option("sgd", "sgd (Nesterov momentum) or adamw", choices=("sgd", "adamw"))
    learning_rate: float | None = option(
        None, "highest learning rate; default: 0.02 for sgd, 0.0003 for adamw", low=1e-7, high=1
    )
    schedule: str = option(
        "cosine",
        "cosine: decay to 0 after a warm-up; plateau: reduce the rate whenever validation stops improving",
        choices=("cosine", "plateau"),
    )
    patience: int = option(0, "stop after this many epochs without improvement; 0: never", low=0, high=10_000)
    weight_decay: float = option(5e-4, "weight decay of the kernels", low=0, high=1)
    label_smoothing: float = option(
        0.1, "share of each FER-2013 label that is spread over all classes", low=0, high=0.9
    )
    dropout: float = option(0.5, "share of the features that are dropped before the heads", low=0, high=0.95)
    batch_norm: bool = option(True, "normalise after each convolution; the export folds this into the convolution")
    average: float = option(0.999, "decay of the running average of all weights; 0: none", low=0, high=0.99999)
    class_weights: str = option("none", "weight of rare classes in the loss", choices=("none", "sqrt", "balanced"))
    augmentation: bool = option(True, "vary the training images")
    augment_on: str = option(
        "auto",
        "what varies and mixes the training images: cpu, with a few threads beside training; device, inside the"
        " train step; auto: the device where it is a GPU",
        choices=("auto", "cpu", "device"),
    )
    mix: str = option(
        "none",
        "mixup: blend pairs of images and their labels; cutmix: paste a part of one image into the other",
        choices=("none", "mixup", "cutmix"),
    )
    mix_alpha: float = option(
        0.2, "how evenly --mix mixes: the share is drawn from Beta(A, A)", low=0.01, high=10, metavar="A"
    )
    teacher: tuple[str, ...] = option(
        (), "learn also from the answers of this finished run; repeat for several", metavar="RUN"
    )
    teacher_share: float = option(0.5, "share of the teachers' answers in the loss", low=0, high=1)
    mixed_precision: bool = option(False, "compute in bfloat16")
    max_minutes: float = option(
        0, "minutes of training, over all sessions of the run; 0: no limit", low=0, high=100_000
    )


@dataclass(frozen=True, slots=True)
class RunsOptions:
    """Runs: where training runs are kept."""

    runs: str = option("runs", "folder that holds one folder per training run", metavar="DIR")


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """Benchmarks: what is measured, and for how long."""

    only: tuple[str, ...] = option(
        (),
        "measure only this; repeat for several",
        choices=("throughput", "latency", "cameras", "scaling", "start"),
    )
    quick: bool = option(False, "run briefly, to see that it works; the figures mean nothing")
    clip: str | None = option(None, "video to play; default: the sample clip", metavar="FILE")
    rounds: int = option(3, "number of rounds; everything is measured once per round", low=1, high=100)
    frames: int = option(
        1000, "number of frames of a lossless run; the clip is cut or repeated", low=1, high=1_000_000
    )
    seconds: float = option(15.0, "length of a live run, and of the run of each other program", low=0.5, high=3600)
    most_cameras: int = option(32, "highest number of cameras to try", low=1, high=256)
    fer_python: str | None = option(
        None, "Python interpreter of an environment with the fer package, to compare with", metavar="PYTHON"
    )
    markdown: str | None = option(None, "write the tables into this file, between its markers", metavar="FILE")
    profile: str | None = option(
        None, "profile every process, and write the profiles to this folder", metavar="DIR"
    )


@dataclass(frozen=True, slots=True)
class EvaluateOptions(DataOptions):
    """Evaluation: what a model is measured with, and what is drawn."""

    split: str = option("PublicTest", "images to measure with", choices=("Training", "PublicTest", "PrivateTest"))
    charts: str | None = option("out/evaluation", "folder for the charts; empty: draw none", metavar="DIR")
    card: str | None = option(None, "Markdown file in which the section on this head is replaced", metavar="FILE")


@dataclass(frozen=True, slots=True)
class ExportOptions(DataOptions):
    """Export: what is written. Its `--weights` and `--output` are declared beside the command."""

    formats: tuple[str, ...] = option(
        (),
        "files to write; default: int8, and weights (float16, from which the others can be built); also fp32,"
        " bf16, onnx, keras",
        metavar="FORMAT",
        choices=("int8", "weights", "fp32", "bf16", "onnx", "keras"),
    )
    margin: float = option(
        0.015, "what detectors add on each side of a face, as a fraction of its size", low=0, high=1
    )


@dataclass(frozen=True, slots=True)
class CompletionOptions:
    """Shell: whose completion is printed."""

    shell: str | None = option(
        None, "the shell; default: the one of the variable SHELL", choices=("bash", "zsh", "fish"), positional=True
    )
