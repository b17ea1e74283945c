"""One picture: what a source gives, and how it becomes the JPEG of a frame."""

__all__ = ["header", "jpeg", "photos", "pixels", "source"]
