"""The list of all settings, in the order in which people read about them.

All processes know all settings, so one TOML file or environment serves them all.
"""

from emotion_stream.shared.settings.command_options import (
    BenchOptions,
    CompletionOptions,
    DataOptions,
    EvaluateOptions,
    ExportOptions,
    PictureOptions,
    PrintOptions,
    RunsOptions,
    TrainOptions,
)
from emotion_stream.shared.settings.options import (
    ClassifierOptions,
    CommandOptions,
    CommonOptions,
    DetectorOptions,
    LinkOptions,
    ModelOptions,
    ProducerOptions,
    RunOptions,
    ServerOptions,
)
from emotion_stream.shared.settings.result_options import (
    EventOptions,
    KeepOptions,
    LanguageOptions,
    ShowOptions,
    SinkOptions,
    WebOptions,
    WriteOptions,
)

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
    LanguageOptions,
    WebOptions,
    EventOptions,
    KeepOptions,
    WriteOptions,
    RunOptions,
    *(DataOptions, TrainOptions, RunsOptions, BenchOptions, EvaluateOptions, ExportOptions, CompletionOptions),
)
