"""Every setting, declared once, and how flags, variables and files become it."""

__all__ = [
    "cameras",
    "catalogue",
    "cli",
    "command_options",
    "flags",
    "loading",
    "options",
    "reread",
    "result_options",
    "writing",
]
