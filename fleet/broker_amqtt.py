"""amqtt as the broker child, where no mosquitto is installed: `python -m fleet.broker_amqtt SETTINGS.json`."""

import asyncio
import signal
import sys
from pathlib import Path

import amqtt.broker as amqtt_broker
import msgspec

from fleet import broker_plugins
from fleet.broker import BrokerSettings
from fleet.confinement import Confinement


async def serve(settings: BrokerSettings) -> None:
    """Run until SIGTERM or SIGINT. SIGHUP changes nothing: passwords are read again when their file changes."""
    broker_plugins.RULES[:] = [Confinement(settings)]
    amqtt_broker.BrokerProtocolHandler = broker_plugins.GuardedHandler
    listener = {
        "type": "tcp", "bind": f"{settings.bind}:{settings.port}", "ssl": True,
        "certfile": settings.certificate, "keyfile": settings.key,
    }  # fmt: skip
    plugins: dict[str, dict[str, str]] = {
        f"{broker_plugins.__name__}.{name}": {} for name in ("PasswordPlugin", "TopicPlugin")
    }
    broker = broker_plugins.ConfinedBroker({"listeners": {"default": listener}, "plugins": plugins})
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)
    await broker.start()
    await stop.wait()
    await broker.shutdown()


def main() -> None:
    """Entry of the child process."""
    settings = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=BrokerSettings)
    asyncio.run(serve(settings))


if __name__ == "__main__":
    main()
