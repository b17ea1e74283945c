"""`emotion picture`: faces and emotions of pictures on disk, through the stream's own detector and classifier."""

import glob
import json
import mimetypes
import os
import re
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2

from emotion_stream.emotion.analyzer import Analyzer
from emotion_stream.emotion.written import settings_of
from emotion_stream.producer.pictures.pixels import pixels
from emotion_stream.producer.pictures.source import Image, Picture
from emotion_stream.producer.sources.folder import list_pictures, read_picture
from emotion_stream.producer.sources.kinds import WRITTEN, WRITTEN_SUFFIXES
from emotion_stream.producer.sources.spec import SUPPORTED, SourceSpec, printable
from emotion_stream.shared.claims import Claim, Source, check, check_folder
from emotion_stream.shared.errors import EmotionError, UsageError
from emotion_stream.shared.log import clean
from emotion_stream.shared.messages.types import Emotions
from emotion_stream.shared.settings.cli import Command, Values
from emotion_stream.shared.settings.command_options import PictureOptions
from emotion_stream.shared.settings.loading import build, option
from emotion_stream.shared.settings.options import ClassifierOptions, DetectorOptions, ModelOptions
from emotion_stream.shared.settings.result_options import LanguageOptions, ShowOptions, WriteOptions
from emotion_stream.shared.terminal import say
from emotion_stream.shared.whole import write_whole
from emotion_stream.shared.words.words import ENGLISH, Words, chosen
from emotion_stream.sink.drawing.draw import annotate
from emotion_stream.sink.drawing.panel import compose
from emotion_stream.sink.drawing.privacy import hide
from emotion_stream.sink.marks import is_marked, mark
from emotion_stream.sink.results.output import Face, Result, as_json, said
from emotion_stream.sink.tracking.follow import Following, following
from emotion_stream.sink.window.screen import Screen, check_display, pressed

_URL = re.compile("[a-z][a-z0-9+.-]*://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class OutputOption:
    """Where annotated pictures go: for this command, the setting `output` is a file or folder."""

    output: tuple[str, ...] = option(
        (), "write the annotated picture to this file, or several into this folder", metavar="FILE|DIR"
    )


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to look at: a picture's path, or a name that leads to none and why."""

    path: Path
    error: str | None = None


def find(names: Sequence[str]) -> list[Item]:
    """The pictures that `--image` names, in order; globs and folders in natural order. Each at its first mention.

    Files are taken as they are, whatever their ending; folders and globs give the pictures in them.

    Raises:
        UsageError: one of them is a URL.
    """
    items: list[Item] = []
    for name in names:
        path = Path(os.path.expanduser(name))
        try:
            if _URL.match(name):
                raise UsageError(f"{printable(name)}: pictures are files here; `emotion run` takes URLs")
            if path.is_dir() or (glob.has_magic(name) and not os.path.lexists(path)):
                found = list_pictures(SourceSpec("picture", "pictures", str(path)))
                items += [Item(p) for p in found] or [Item(path, f"no pictures here: supported are {SUPPORTED}")]
            else:
                items.append(Item(path))
        except UsageError:
            raise
        except OSError as e:
            items.append(Item(path, f"cannot be read ({e.strerror})"))
        except (EmotionError, ValueError) as e:
            items.append(Item(path, str(e)))
    return list(dict.fromkeys(items))


def targets(items: Sequence[Item], output: str | None) -> dict[Path, Path]:
    """Where each annotated picture goes: the file or folder `output`. Pictures of one name get -2, -3 ...

    Raises:
        UsageError: a file for several pictures, or one of a kind that is not written.
    """
    paths = [item.path for item in items if item.error is None]
    if output is None:
        return {}
    place = Path(os.path.expanduser(output))
    kind = mimetypes.guess_type(place.name)[0]
    if kind and place.suffix.lower() not in WRITTEN_SUFFIXES and not place.is_dir():
        raise UsageError(
            f"--output {output}: pictures of this kind ({kind}) are not written, only {WRITTEN}; or name a folder"
        )
    if place.suffix.lower() in WRITTEN_SUFFIXES and not place.is_dir():
        if len(items) > 1:
            raise UsageError(f"--output {output} is one file, but there are {len(items)} pictures: name a folder")
        found = dict.fromkeys(paths, place)
    else:
        found, taken = {}, set[Path]()
        for path in paths:
            suffix = path.suffix if path.suffix.lower() in WRITTEN_SUFFIXES else ".jpg"
            target, n = place / f"{path.stem}{suffix}", 1
            while target in taken:
                n += 1
                target = place / f"{path.stem}-{n}{suffix}"
            taken.add(target)
            found[path] = target
    return found


def _check(items: Sequence[Item], places: Mapping[Path, Path], values: Values) -> None:
    """Refuse pictures that must not be written over.

    Raises:
        UsageError: one is read, or two go to one file.
        EmotionError: one cannot be written, or is somebody's.
    """
    sources = [Source(item.path, f"the picture {item.path}") for item in items if item.error is None]
    for folder in dict.fromkeys(place.parent for place in places.values()):
        check_folder(folder, f"--output {folder}")
    claims = [Claim(place, f"--output {place}", is_marked) for place in places.values() if place.parent.exists()]
    check([*sources, *settings_of(values)], claims, force=build(WriteOptions, values).force)


def line(name: str, result: Result) -> dict[str, Any]:
    """The documented JSON form of one picture; faces as in the stream's lines. Pure."""
    told = as_json(result)
    return {"image": name, **{key: told[key] for key in ("status", "error", "width", "height", "faces")}}


def table(told: Mapping[str, Any], labels: Sequence[str]) -> str:
    """The same for people: a heading, and a row with percentages for each face. Pure."""
    faces = told["faces"]
    count = "no face" if not faces else "1 face" if len(faces) == 1 else f"{len(faces)} faces"
    rows = [f"{clean(told['image'])}: {told['width']} x {told['height']} pixels, {count}"]
    if faces:
        widths = [max(len(label), 6) for label in labels]
        heads = "  ".join(f"{label:>{width}}" for label, width in zip(labels, widths, strict=True))
        rows.append(f"  {'#':>3}  {'x':>5}  {'y':>5}  {'width':>5}  {'height':>6}  {'emotion':<10}{heads}")
    for face in faces:
        x, y, w, h = face["box"]
        shares = "  ".join(
            f"{face['probabilities'][label]:>{width}.1%}" for label, width in zip(labels, widths, strict=True)
        )
        rows.append(f"  {face['track']:>3}  {x:>5}  {y:>5}  {w:>5}  {h:>6}  {said(face):<10}{shares}")
    return "\n".join(rows)


def run(values: Values) -> None:
    """Analyse pictures in the order of the arguments; what cannot be read is told while the rest goes on.

    Raises:
        UsageError: no picture is named, or the output does not fit.
        EmotionError: a model is missing, or some pictures could not be read or written.
    """
    options = build(PictureOptions, values)
    if not options.image:
        raise UsageError("no picture given: name one with --image, for example --image photo.jpg")
    items = find(options.image)
    places = targets(items, _output(build(OutputOption, values).output))
    _check(items, places, values)
    show = build(ShowOptions, values)
    words = chosen(build(LanguageOptions, values).language) or ENGLISH
    rules = following("1/1", 0.0, show.uncertain)
    if options.window:
        check_display("without --window the faces are printed, and --output writes the annotated pictures")
    screen: Screen | None = None
    failed = 0
    model = build(ModelOptions, values).model
    with Analyzer(build(DetectorOptions, values), build(ClassifierOptions, values), model) as analyzer:
        analyzer.open()
        for item in items:
            result, picture = _look(analyzer, item, rules)
            name = printable(str(item.path))
            error = result.outcome.reason
            if options.json:
                say(json.dumps(line(name, result)))
            elif error is None:
                say(table(line(name, result), result.labels))
            if error is None and item.path in places:
                drawn = annotate(_visible(picture, result, show), result, notice=show.notice, words=words)
                error = _write(places[item.path], drawn)
            if error is not None:
                failed += 1
                error = error.removeprefix(f"{printable(item.path.name)}: ")  # the whole path says it, too
                print(clean(f"emotion picture: {name}: {error}"), file=sys.stderr)
            elif options.window:
                shown = _visible(picture, result, show)
                screen = screen or Screen("Emotion Stream", (shown.shape[1], shown.shape[0]))
                if not _show(screen, shown, result, show.notice, words):
                    break
    if failed:
        raise EmotionError(f"{failed} of {len(items)} pictures could not be read or written")


def _look(analyzer: Analyzer, item: Item, rules: Following) -> tuple[Result, Picture]:
    started = time.time()
    if item.error is None:
        picture = read_picture(item.path, 0.0)
    else:
        picture = Picture(None, None, 0, 0, 0.0, started, item.error)
    emotions = analyzer.label(picture, printable(str(item.path)))
    return _result(emotions, item.path, time.time() - started, rules), picture


def _result(emotions: Emotions, path: Path, seconds: float, rules: Following) -> Result:
    """Faces are numbered from 1 where a stream has tracks."""
    below = rules.threshold(emotions)
    faces = tuple(Face.alone(n, f, below) for n, f in enumerate(emotions.faces, 1))
    info = replace(emotions.info, camera=printable(path.name))
    return Result(info, emotions.outcome, emotions.labels, faces, seconds)


def _output(output: Iterable[str]) -> str | None:
    named = list(output)
    if len(named) > 1:
        raise UsageError("--output names one file or folder")
    if named and named[0].partition("=")[0] in ("jsonl", "video", "csv", "sqlite", "images", "web", "window"):
        raise UsageError(f"--output {named[0]}: annotated pictures are written; name a file or a folder")
    return named[0] if named else None


def _visible(picture: Picture, result: Result, show: ShowOptions) -> Image:
    return hide(pixels(picture), result) if show.blur_faces else pixels(picture)


def _show(screen: Screen, image: Image, result: Result, notice: str, words: Words) -> bool:
    """Show a picture until a key is pressed; False: enough seen."""
    drawn, key = (0, 0), ""
    while not key and not screen.closed:
        if screen.size != drawn:
            drawn = screen.size
            keys = words("picture.keys_stills")
            screen.show(compose(image, result, drawn, notice=notice, keys=keys, words=words))
        key = pressed(0.05)
    return key not in ("q", "")


def _write(path: Path, drawn: Image) -> str | None:
    """Write the annotated picture; returns what went wrong, if anything did."""
    try:
        done, data = cv2.imencode(path.suffix, drawn)
        if not done:
            return f"cannot be encoded as {path.suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, mark(data.tobytes()))
    except cv2.error as e:
        return f"cannot be encoded as {path.suffix}: {e.err}"
    except OSError as e:
        return f"cannot write {printable(str(path))}: {e.strerror}"
    return None


COMMAND = Command(
    "picture",
    "Find the faces in pictures and label them with emotions.",
    (
        PictureOptions,
        OutputOption,
        WriteOptions,
        ShowOptions,
        LanguageOptions,
        DetectorOptions,
        ClassifierOptions,
        ModelOptions,
    ),
    run,
    plain="image",
    first=("image", "output", "json", "window"),
    without=("blur_delay", "scan_every", "detect_batch", "classify_wait", "classify_batch"),
)
