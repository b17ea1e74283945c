"""Programs that measure what an output costs."""
