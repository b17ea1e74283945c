"""The subcommands of `emotion` that have no room of their own."""

__all__ = ["cameras", "dead", "evaluate", "export", "picture", "run"]
