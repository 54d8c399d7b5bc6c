"""How a long operation tells where it stands: a callable, given by whoever started it."""

from typing import Protocol


class Progress(Protocol):
    """Called at every step of a long operation; cheap enough for an inner loop."""

    def __call__(self, step: str, done: int = 0, total: int | None = None, **values: float) -> None:
        """Tells one step.

        Args:
            step: Name of the stage in words that a person reads ("Scoring samples").
            done: Units of work finished in this stage.
            total: Units of work in this stage, None where unknown.
            **values: Measurements of this step (losses, rates); kept as one line of `metrics.jsonl`.

        Raises:
            Cancelled: A person asked to stop.
        """


def silent(step: str, done: int = 0, total: int | None = None, **values: float) -> None:
    """A progress that nobody watches."""
