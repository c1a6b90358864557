"""The guard process: it alone moves the actuators, and a command without a fresh frame behind it never arrives.

It outlives every other process. When the supervisor ends, it goes to the safe state and ends too. It imports neither
numpy nor cv2, so that nothing of theirs can hold the GIL here.
"""

import select
import time
from contextlib import ExitStack
from pathlib import Path

from edge_agent import actuators
from edge_agent.actuators import Actuator, Application
from edge_agent.channels import Command, packets, send
from edge_agent.cores import be_urgent
from edge_agent.guard_rules import DeadMan, Rules
from edge_agent.link import BEAT_S, Allow, GuardBeat, Link, Pulse, start_child
from edge_agent.plugins import load_class, read_options
from edge_agent.records import Applied
from edge_agent.specs import GuardActuator, GuardSpec
from edge_agent.watchdog import Watchdog


def run(spec: GuardSpec, link: Link) -> None:
    """Main path: wait for a command or a deadline, obey what is fresh, make safe what is not."""
    if spec.priority is not None:
        be_urgent(spec.priority)
    with ExitStack() as last, ExitStack() as stack:
        outputs = [Output(one, spec.actions) for one in spec.actuators]
        for output in outputs:
            stack.callback(output.end)
        guard = Guard(spec, outputs)
        guard.make_safe(outputs)
        watchdog = Watchdog(spec.watchdog)
        last.push(lambda kind, *_: watchdog.close(in_order=kind is None and link.told_to_end))
        link.say(guard.beat())
        while link.open:
            select.select([spec.commands_fd, link.fileno()], [], [], guard.wait_s(time.monotonic_ns()))
            commands = packets(spec.commands_fd)
            for order in link.orders():  # after the commands: an epoch is allowed before its first command is made
                if isinstance(order, Allow):
                    guard.rules.allow(order.epoch)
                elif isinstance(order, Pulse):
                    watchdog.hear(order, time.monotonic())
            guard.obey([Command.unpack(packet) for packet in commands])
            guard.expire(time.monotonic_ns())
            if link.beat_due():
                link.say(guard.beat())


class Output:
    """One actuator, its safe state and its dead-man."""

    def __init__(self, spec: GuardActuator, actions: tuple[str, ...]) -> None:
        folder, chosen = Path(spec.chosen.folder), spec.chosen
        cls = load_class(chosen.kind, actuators.KINDS, actuators.GROUP, folder)
        options = read_options(cls, chosen.options, folder=folder, where=f"actuator {chosen.kind}")
        self._actuator: Actuator = cls(options, actions)
        self._last: Application | None = None
        self.safe_state = spec.safe_state
        self.dead_man = DeadMan(round(spec.max_age_ms * 1e6))

    def apply(self, application: Application) -> None:
        """Move the actuator."""
        self._last = application
        self._actuator.apply(application)

    def make_safe(self, now_ns: int) -> None:
        """Go to the safe state; the frame named is the one that was in force."""
        frame, captured_ns = (self._last.frame, self._last.captured_ns) if self._last else (0, 0)
        self.dead_man.deadline_ns = None
        self.apply(Application(self.safe_state, True, frame, captured_ns, now_ns))

    def end(self) -> None:
        """Leave the actuator safe, whatever happened."""
        try:
            if self._last is None or not self._last.safe:
                self.make_safe(time.monotonic_ns())
        finally:
            self._actuator.close()


class Guard:
    """The rules, the outputs, and what was counted."""

    def __init__(self, spec: GuardSpec, outputs: list[Output]) -> None:
        self.rules = Rules(spec.epoch, spec.epoch)
        self._actions, self._outputs, self._records_fd = spec.actions, outputs, spec.records_fd
        self._refused = {"epoch": 0, "order": 0, "stale": 0}
        self._applied, self._safe_stops, self._action, self._age_ms = 0, 0, "", 0.0

    def wait_s(self, now_ns: int) -> float:
        """Time until the nearest deadline or the next sign of life."""
        deadlines = [o.dead_man.deadline_ns for o in self._outputs if o.dead_man.deadline_ns is not None]
        nearest_s = (min(deadlines) - now_ns) / 1e9 if deadlines else BEAT_S
        return min(BEAT_S, max(0.0, nearest_s))

    def obey(self, commands: list[Command]) -> None:
        """Carry out the newest command that is worth it; the ones before it are overtaken."""
        now_ns = time.monotonic_ns()
        accepted: Command | None = None
        for command in commands:
            refusal = self.rules.judge(command, now_ns)
            if refusal:
                self._refused[refusal] += 1
            else:
                accepted = command
        if accepted is not None and accepted.action < len(self._actions):
            self._apply(accepted)

    def _apply(self, command: Command) -> None:
        moved = False
        for output in self._outputs:
            now_ns = time.monotonic_ns()  # once more for each: the one before may have been slow
            if output.dead_man.accept(command.captured_ns, now_ns):
                action = self._actions[command.action]
                output.apply(Application(action, False, command.frame, command.captured_ns, now_ns))
                moved = True
        if not moved:
            self._refused["stale"] += 1
            return
        done_ns = time.monotonic_ns()
        self._applied, self._action = self._applied + 1, self._actions[command.action]
        self._age_ms = (done_ns - command.captured_ns) / 1e6
        self._record(
            Applied(0, command.action, command.epoch, command.frame, command.captured_ns, command.handed_ns, done_ns)
        )

    def expire(self, now_ns: int) -> None:
        """Dead-man: bring every actuator whose frame is too old to its safe state, once."""
        expired = [output for output in self._outputs if output.dead_man.expired(now_ns)]
        if expired:
            self._safe_stops += 1
            self.make_safe(expired)

    def make_safe(self, outputs: list[Output]) -> None:
        """Bring these outputs to their safe states now."""
        now_ns = time.monotonic_ns()
        for output in outputs:
            output.make_safe(now_ns)
        for state in dict.fromkeys(output.safe_state for output in outputs):
            self._action = state
            self._record(Applied(1, self._actions.index(state), self.rules.epoch, self.rules.frame, 0, 0, now_ns))

    def beat(self) -> GuardBeat:
        """How the guard is."""
        safe = all(output.dead_man.deadline_ns is None for output in self._outputs)
        return GuardBeat(
            action=self._action,
            safe=safe,
            epoch=self.rules.epoch,
            applied=self._applied,
            safe_stops=self._safe_stops,
            refused_stale=self._refused["stale"],
            refused_epoch=self._refused["epoch"],
            refused_order=self._refused["order"],
            age_ms=self._age_ms,
        )

    def _record(self, applied: Applied) -> None:
        if self._records_fd >= 0:
            send(self._records_fd, applied.pack())


if __name__ == "__main__":
    start_child(GuardSpec, run)
