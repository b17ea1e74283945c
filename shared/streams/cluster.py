"""Redis Cluster: connections that find the master of one slot by themselves.

All keys of a shard lie in one slot, so a process talks to one node at a time. Each new connection asks the cluster
which node that is, so after a failover the next connection reaches the new master. Nothing is retried here: the
caller looks at what failed, as with a single server.
"""

from typing import Any, Final

from redis.connection import Connection, SSLConnection
from redis.exceptions import (
    AskError,
    ClusterDownError,
    ConnectionError,
    MasterDownError,
    ReadOnlyError,
    RedisError,
    TryAgainError,
)

ASK_TIMEOUT = 2.0
"""Seconds that a node may take to tell about the cluster."""
ELSEWHERE: Final = (AskError, ClusterDownError, MasterDownError, ReadOnlyError, TryAgainError)
"""Answers (MOVED is an AskError, too) of a node that did not run the command, because it is not the slot's master,
or not at this moment."""

Address = tuple[str, int]


class Nodes:
    """The nodes of a cluster that one client knows, the one that answered last first."""

    def __init__(self) -> None:
        self.known: list[Address] = []

    def learn(self, answered: Address, slots: list[Any]) -> None:
        """Remember all nodes of an answer of CLUSTER SLOTS."""
        found = [answered, *(address(node, answered) for part in slots for node in part[2:])]
        self.known = list(dict.fromkeys([*found, *self.known]))


def address(node: list[Any], asked: Address) -> Address:
    """Host and port of a node as CLUSTER SLOTS gives it; without a host it is the one that was asked."""
    host = node[0].decode() if node[0] else ""
    return (host if host not in ("", "?") else asked[0]), int(node[1])


def master_of(slot: int, slots: list[Any], asked: Address) -> Address | None:
    """The master of `slot` in an answer of CLUSTER SLOTS."""
    return next((address(part[2], asked) for part in slots if part[0] <= slot <= part[1]), None)


class _ToMaster:
    """What makes a connection one to the master of a slot."""

    plain: type[Connection]

    def __init__(self, *, slot: int, nodes: Nodes, **settings: Any) -> None:
        self._slot, self._nodes = slot, nodes
        self._settings = settings
        self._first: Address = (settings.get("host", "localhost"), int(settings.get("port", 6379)))
        super().__init__(**settings)

    def _connect(self) -> Any:
        self.host, self.port = self._find()
        return super()._connect()  # type: ignore[misc]

    def _find(self) -> Address:
        """Ask one node after the other.

        Raises:
            ConnectionError: none of them answers, or nobody has the slot.
        """
        reason = "no node answers"
        for node in dict.fromkeys([*self._nodes.known, self._first]):
            try:
                slots = self._ask(node)
            except (RedisError, OSError) as e:
                reason = str(e)
                continue
            self._nodes.learn(node, slots)
            master = master_of(self._slot, slots, node)
            if master is not None:
                return master
            reason = f"slot {self._slot} has no master"
        raise ConnectionError(f"Redis Cluster: {reason}")

    def _ask(self, node: Address) -> list[Any]:
        host, port = node
        times = {"socket_timeout": ASK_TIMEOUT, "socket_connect_timeout": ASK_TIMEOUT}
        connection: Any = self.plain(**{**self._settings, **times, "host": host, "port": port})
        try:
            connection.connect()
            connection.send_command("CLUSTER", "SLOTS")
            found: list[Any] = connection.read_response()
            return found
        finally:
            connection.disconnect()

    def read_response(self, *arguments: Any, **settings: Any) -> Any:
        try:
            return super().read_response(*arguments, **settings)  # type: ignore[misc]
        except ELSEWHERE as e:
            self.disconnect()  # type: ignore[attr-defined]  # so that the next command looks for the master again
            raise ConnectionError(f"Redis Cluster: {e}") from e


class ToMaster(_ToMaster, Connection):
    """A connection to the master of `slot`."""

    plain = Connection


class ToMasterTLS(_ToMaster, SSLConnection):
    """The same over TLS."""

    plain = SSLConnection
