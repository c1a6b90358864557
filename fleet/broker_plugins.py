"""What amqtt 0.12 needs to confine its clients; each gap closed here has a test.

Alone it looks a session up by client id *before* it checks the password (a stranger throws a device off and rewrites
its user name), sends a last will without asking the topic filter, and sends every retained message that any
subscription matches to whoever connects.
"""

from asyncio import AbstractEventLoop
from dataclasses import dataclass

from amqtt.adapters import ReaderAdapter, WriterAdapter
from amqtt.broker import Broker
from amqtt.contexts import Action, BaseContext
from amqtt.errors import MQTTError
from amqtt.mqtt.connack import NOT_AUTHORIZED, ConnackPacket
from amqtt.mqtt.protocol.broker_handler import BrokerProtocolHandler
from amqtt.plugins.base import BaseAuthPlugin, BaseTopicPlugin
from amqtt.plugins.manager import PluginManager
from amqtt.session import Session

from fleet.confinement import Confinement

RULES: list[Confinement] = []
"""The one rule book of this process: amqtt makes plug-ins itself and hands them only text."""


class PasswordPlugin(BaseAuthPlugin):  # type: ignore[misc]  # amqtt ships no types
    """Asks the password file."""

    @dataclass
    class Config:
        """Nothing to configure."""

    def __init__(self, context: BaseContext) -> None:
        super().__init__(context)

    async def authenticate(self, *, session: Session) -> bool:
        """Called by amqtt."""
        return RULES[0].admits(session.username, session.client_id, session.password)


class TopicPlugin(BaseTopicPlugin):  # type: ignore[misc]  # amqtt ships no types
    """Keeps everybody in their own subtree."""

    @dataclass
    class Config:
        """Nothing to configure."""

    def __init__(self, context: BaseContext) -> None:
        super().__init__(context)

    async def topic_filtering(
        self, *, session: Session | None = None, topic: str | None = None, action: Action | None = None
    ) -> bool:
        """Called by amqtt for each publish, subscription and delivery."""
        if session is None or not session.username or not topic:
            return False
        if action == Action.PUBLISH:
            return RULES[0].may_write(session.username, topic)
        return RULES[0].may_read(session.username, topic)


class GuardedHandler(BrokerProtocolHandler):  # type: ignore[misc]  # amqtt ships no types
    """Checks password and last will as soon as CONNECT is read, before any session is looked up or replaced."""

    @classmethod
    async def init_from_connect(
        cls,
        reader: ReaderAdapter,
        writer: WriterAdapter,
        plugins_manager: PluginManager,
        loop: AbstractEventLoop | None = None,
    ) -> tuple[BrokerProtocolHandler, Session]:
        """Called by amqtt."""
        handler, session = await super().init_from_connect(reader, writer, plugins_manager, loop)
        rules = RULES[0]
        admitted = rules.admits(session.username, session.client_id, session.password)
        if admitted and (not session.will_flag or rules.may_write(session.username, session.will_topic or "")):
            return handler, session
        await ConnackPacket.build(0, NOT_AUTHORIZED).to_stream(writer)
        raise MQTTError(f"{session.client_id!r} is not who it says, or its will is for another's topic")


class ConfinedBroker(Broker):  # type: ignore[misc]  # amqtt ships no types
    """Sends retained messages to those who subscribed to them, and to nobody else."""

    async def _publish_retained_messages_for_subscription(
        self, subscription: tuple[str, int], session: Session
    ) -> None:
        subscribers = self.subscriptions.get(subscription[0], ())
        if any(subscriber is session for subscriber, _ in subscribers):
            await super()._publish_retained_messages_for_subscription(subscription, session)
