"""Flags of `emotion run` that do nothing, because what they are about is not there. Loads nothing large."""

from collections.abc import Mapping, Sequence

from emotion_stream.producer.sources.spec import SourceSpec
from emotion_stream.shared.messages.types import Mode
from emotion_stream.shared.settings.cameras import cameras_of
from emotion_stream.shared.settings.cli import ORIGINS, Values
from emotion_stream.shared.settings.loading import build, specs
from emotion_stream.shared.settings.options import CommandOptions, ProducerOptions
from emotion_stream.shared.settings.result_options import ShowOptions, SinkOptions, WebOptions
from emotion_stream.sink.claims import split


def idle_flags(values: Values, mode: Mode, sources: Sequence[SourceSpec], *, at_terminal: bool) -> list[str]:
    """A line for each of them. Pure.

    Only what stands on the command line counts: a file or a variable may be there for many runs.

    Args:
        values: all settings, with where they come from.
        mode: how the sources are read.
        sources: what is played.
        at_terminal: whether a person looks on, who gets a page where no output is named.
    """
    origins: Mapping[str, str] = values.get(ORIGINS, {})
    given = {name: flag for name, flag in origins.items() if flag.startswith("--") and values[name]}
    show, outputs = build(ShowOptions, values), build(SinkOptions, values).output
    shows_page = any(split(output)[0] == "web" for output in outputs) or (at_terminal and not outputs)
    reads = build(CommandOptions, values).config or build(ProducerOptions, values).cameras_file
    why: dict[str, str] = {}
    if mode == "live":
        why["paced"] = "in live mode, which plays files at their own speed anyway"
    if all(source.mode == "lossless" for source in sources):
        why["sound"] = "without a camera or a URL: it is for cameras"
    if not show.blur_faces and not any(camera.over(show).blur_faces for camera in cameras_of(values)):
        why["blur_delay"] = "without --blur-faces"
    if not reads:
        why["watch_settings"] = "without a settings file: name one with --config or --cameras-file"
    if not shows_page:
        why |= dict.fromkeys(specs([WebOptions]), "without a page: ask for one with --output web=127.0.0.1:8080")
    return [f"{flag} does nothing {why[name]}" for name, flag in given.items() if name in why]
