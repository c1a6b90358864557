"""A plant without hardware: an OPC UA server on 127.0.0.1 with one variable for each name.

    python -m edge_agent.sensors.opcua_simulator 4840 pressure flow

serves both as `ns=2;s=NAME`; they move as slow sines.
"""

import math
import socket
import sys
import time
from typing import Any


class OpcUaSimulator:
    """Use: `with OpcUaSimulator("pressure") as plant:`; `plant.set("pressure", 7.0)`; connect to `plant.url`."""

    def __init__(self, *names: str, port: int = 0) -> None:
        """`port` 0: any free one."""
        self.port = port or _free_port()
        self._names = names
        self._server: Any = None  # asyncua.sync.Server
        self._variables: dict[str, Any] = {}

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"opc.tcp://127.0.0.1:{self.port}/plant/"

    def set(self, name: str, value: float) -> None:
        """Let a sensor measure something else."""
        self._variables[name].write_value(value)

    def __enter__(self) -> "OpcUaSimulator":
        from asyncua import ua
        from asyncua.sync import Server

        self._server = Server()
        self._server.set_endpoint(self.url)
        self._server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        space = self._server.register_namespace("edgewright:plant")
        for name in self._names:
            self._variables[name] = self._server.nodes.objects.add_variable(ua.NodeId(name, space), name, 0.0)
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()
        if self._server.tloop.is_alive():
            self._server.tloop.stop()


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def main() -> None:
    """Run one until Ctrl-C."""
    with OpcUaSimulator(*sys.argv[2:], port=int(sys.argv[1])) as plant:
        print(plant.url, flush=True)
        while True:
            time.sleep(0.1)
            for index, name in enumerate(sys.argv[2:]):
                plant.set(name, math.sin(time.monotonic() / 5 + index))


if __name__ == "__main__":
    main()
