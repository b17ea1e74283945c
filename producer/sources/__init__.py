"""Where frames come from: cameras, URLs, video files, folders."""

__all__ = ["factory", "files", "folder", "kinds", "spec"]
