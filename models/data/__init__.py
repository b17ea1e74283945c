"""FER-2013 and FER+ as people have them, duplicates, augmentation."""

__all__ = ["augment", "duplicates", "fer2013", "on_device"]
