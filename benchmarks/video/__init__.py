"""Programs that measure what happens from frame to frame: hints, tracks, pans, blur, a budget."""

__all__ = ["hints", "pans"]
