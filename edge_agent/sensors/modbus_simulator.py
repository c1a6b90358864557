"""A machine without hardware: a Modbus device whose registers are a list, over TCP on 127.0.0.1 or RTU on a port.

    python -m edge_agent.sensors.modbus_simulator 5020

serves 100 registers at that port, of all four tables alike; the first one counts seconds.
"""

import asyncio
import sys
import threading
import time
from typing import Any

REGISTERS = 100


class ModbusSimulator:
    """Use: `with ModbusSimulator() as machine:`; `machine.words[3] = 7`; connect to `machine.port`."""

    def __init__(self, *, port: int = 0, serial: str | None = None, unit: int = 1) -> None:
        """`port` 0: any free one. `serial`: a serial port to answer at, by RTU, instead."""
        self.port = port
        self.words = [0] * REGISTERS
        """What every request reads; may be changed at any time."""
        self.requests = 0
        self._serial, self._unit = serial, unit
        self._loop = asyncio.new_event_loop()
        self._server: Any = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="modbus simulator", daemon=True)

    def __enter__(self) -> "ModbusSimulator":
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._server.shutdown(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.run_forever()

    async def _serve(self) -> None:
        from pymodbus.server import ModbusSerialServer, ModbusTcpServer
        from pymodbus.simulator import DataType, SimData, SimDevice

        data = SimData(0, count=REGISTERS, values=0, datatype=DataType.REGISTERS)
        device = SimDevice(self._unit, [data], action=self._refresh, use_bit_addressing=False)
        if self._serial is not None:
            self._server = ModbusSerialServer(device, port=self._serial)
        else:
            self._server = ModbusTcpServer(device, address=("127.0.0.1", self.port))
        await self._server.serve_forever(background=True)
        if self._serial is None:
            self.port = self._server.transport.sockets[0].getsockname()[1]
        self._ready.set()

    async def _refresh(
        self, _code: int, _start: int, _address: int, _count: int, registers: list[int], _values: object
    ) -> None:
        self.requests += 1
        registers[:] = self.words


def main() -> None:
    """Run one until Ctrl-C."""
    with ModbusSimulator(port=int(sys.argv[1]) if len(sys.argv) > 1 else 0) as machine:
        print(machine.port, flush=True)
        while True:
            time.sleep(1)
            machine.words[0] = (machine.words[0] + 1) % 65536


if __name__ == "__main__":
    main()
