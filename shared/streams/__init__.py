"""The only room with Redis commands: connections, keys, scripts, reading, hopping, leases."""

__all__ = ["access", "connection", "frames", "groups", "hints", "keys", "letters", "progress", "shard"]
