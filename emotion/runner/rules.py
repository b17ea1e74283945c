"""By which rules the faces of a run get their labels."""

from typing import Any

from emotion_stream.shared.messages.manifest import Manifest, prior_strength
from emotion_stream.shared.settings.options import ClassifierOptions
from emotion_stream.shared.settings.result_options import ShowOptions, SinkOptions
from emotion_stream.sink.tracking.follow import following


def in_force(
    classifier: ClassifierOptions, manifest: Manifest, sink: SinkOptions, show: ShowOptions, *, stills: bool
) -> dict[str, Any]:
    """By which rules faces get the labels that are shown: head, prior, threshold, average, confirmation. Pictures
    (`stills`) stand alone: nothing is averaged, and all faces are shown.

    Raises:
        UsageError: one of the settings is wrong.
    """
    rules = following(sink.confirm, sink.smoothing, show.uncertain)
    head = classifier.head or manifest.default_head
    calibration = manifest.head(head).calibration(prior_strength(classifier.prior))
    below = calibration.uncertain_below if rules.ask_model else rules.uncertain_below
    return {
        "model": manifest.id,
        "head": head,
        "prior": calibration.prior,
        "uncertain_below": None if below is None else round(below, 4),
        "smoothing": 0.0 if stills else sink.smoothing,
        "confirm": "1/1" if stills else sink.confirm,
    }
