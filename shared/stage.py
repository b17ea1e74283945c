"""The contract of a stage: a plain object that knows neither Redis nor threads."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from shared.messages import Message, Outcome

In = TypeVar("In", bound=Message, contravariant=True)
Out = TypeVar("Out", bound=Message, covariant=True)


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
        """The empty result that keeps a frame's place in the order when it is not processed. `message` may be
        no more than what could be saved of a broken one. Pure."""
        ...

    def close(self) -> None:
        """Free what `open` took."""
