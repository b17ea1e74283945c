"""Every setting, declared once, and how flags, variables and files become it."""

__all__ = [
    "cameras",
    "cli",
    "command_options",
    "event_options",
    "flags",
    "keep_options",
    "loading",
    "options",
    "reread",
    "writing",
]
