"""Machines of their own on this one: network namespaces, a switch between them, and cables that can be pulled.

A namespace lives as long as its keeper, a `cat` that reads a pipe from this process: nothing has a name that could be
taken, and nothing stays behind, whatever ends this process. The host's own network is never touched.
"""

import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

NETWORK = "198.18.0"
"""Of tests between machines: it is routed nowhere. Source: RFC 2544, appendix C.2.2."""
FLEET = f"{NETWORK}.1"
SWITCH = "switch"


def missing() -> str:
    """Why there can be no such machines here; empty when there can."""
    if not all(shutil.which(tool) for tool in ("ip", "nsenter", "setpriv", "unshare")):
        return "needs ip, nsenter, setpriv and unshare: apt install iproute2 util-linux"
    bridge = ["unshare", "--net", "ip", "link", "add", SWITCH, "type", "bridge"]
    done = subprocess.run(bridge, capture_output=True, text=True, check=False, timeout=30)
    return f"no network namespace with a bridge: {done.stderr.strip()}" if done.returncode else ""


class Namespace:
    """A network namespace with nothing but its loopback."""

    def __init__(self) -> None:
        command = ["unshare", "--net", "cat"]
        self._keeper = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
        self.pid = self._keeper.pid
        here, there = Path("/proc/self/ns/net").readlink(), Path(f"/proc/{self.pid}/ns/net")
        limit_s = time.monotonic() + 10
        while there.readlink() == here:
            assert time.monotonic() < limit_s, "no network namespace came about"
            time.sleep(0.01)
        self.run("ip", "link", "set", "lo", "up")

    @property
    def within(self) -> tuple[str, ...]:
        """What a command begins with to run in here."""
        return ("nsenter", f"--net=/proc/{self.pid}/ns/net", "--")

    def run(self, *command: str) -> str:
        """Run a command to its end; returns what it prints."""
        done = subprocess.run([*self.within, *command], capture_output=True, text=True, check=False, timeout=30)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout

    def close(self) -> None:
        """End the keeper; the namespace ends with the last process in it."""
        assert self._keeper.stdin is not None
        self._keeper.stdin.close()
        self._keeper.wait(10)


@dataclass(frozen=True, slots=True)
class Cable:
    """From a machine to the switch."""

    switch: Namespace
    end: str
    """Interface at the switch."""

    def pull(self) -> None:
        """Cut the link: the machine sees that its carrier is gone."""
        self.switch.run("ip", "link", "set", self.end, "down")

    def plug_in(self) -> None:
        """Give it back."""
        self.switch.run("ip", "link", "set", self.end, "up")


class Site:
    """The fleet's machine, which is the switch, and the machines that are wired to it."""

    def __init__(self) -> None:
        self._machines = [Namespace()]
        self.fleet = self._machines[0]
        self.fleet.run("ip", "link", "add", SWITCH, "type", "bridge")
        self.fleet.run("ip", "address", "add", f"{FLEET}/24", "dev", SWITCH)
        self.fleet.run("ip", "link", "set", SWITCH, "up")

    def add_machine(self) -> tuple[Namespace, Cable]:
        """A new machine, and the cable by which it reaches the fleet."""
        machine, number = Namespace(), len(self._machines)
        self._machines.append(machine)
        cable = Cable(self.fleet, f"port{number}")
        pair = ["type", "veth", "peer", "name", "eth0", "netns", str(machine.pid)]
        self.fleet.run("ip", "link", "add", cable.end, *pair)
        self.fleet.run("ip", "link", "set", cable.end, "master", SWITCH)
        machine.run("ip", "address", "add", f"{NETWORK}.{number + 1}/24", "dev", "eth0")
        machine.run("ip", "link", "set", "eth0", "up")
        cable.plug_in()
        return machine, cable

    def close(self) -> None:
        """Every namespace, and so every cable."""
        for machine in self._machines:
            machine.close()
