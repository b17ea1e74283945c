"""The contract of a stage: a plain object that knows neither Redis nor threads."""

from collections.abc import Sequence
from typing import Protocol, TypeVar, runtime_checkable

from emotion_stream.shared.messages.types import Message, Outcome

In = TypeVar("In", bound=Message, contravariant=True)
Out = TypeVar("Out", bound=Message, covariant=True)

Hints = dict[str, bytes]
"""What a stage noted of each camera a moment ago, in its own form. Any of it may be old, missing or garbage."""


class Stage(Protocol[In, Out]):
    """Turns messages of one kind into messages of the next, one for one and in order.

    `process` is only handed messages whose outcome is ok. It reports a bad item (a corrupt JPEG, say) through
    that item's own outcome; an exception means that the whole batch failed, and the worker loop bisects it.
    """

    def open(self) -> None:
        """Load and warm up. After it returns the stage is ready.

        Raises:
            EmotionError: something the stage needs is missing or damaged.
        """

    def process(self, batch: Sequence[In]) -> Sequence[Out]:
        """One result for each input, in the same order."""
        ...

    def pass_on(self, message: Message, outcome: Outcome) -> Out:
        """The empty result that keeps the place of a frame which is not processed. `message` may hold only what
        could be saved of a broken one. Pure."""
        ...

    def close(self) -> None:
        """Free what `open` took."""


@runtime_checkable
class HintedStage(Stage[In, Out], Protocol[In, Out]):
    """A stage that is faster when it knows what it, or another worker, saw of a camera a moment ago. The worker
    loop keeps its hints between two batches. Other stages pay nothing for this."""

    def process_hinted(self, batch: Sequence[In], hints: Hints) -> Sequence[Out]:
        """As `process`; reads what is known of the batch's cameras from `hints`, and writes there what is new.

        Results may depend on hints only as a prediction: without any, the work takes longer, nothing else.
        """
        ...
