"""From the store to what a rollout looks at. MAIN PATH of control: `Gatherer.view(state)`, then `rollout.step`."""

from collections.abc import Mapping

from fleet.rollout_state import RUNNING, RolloutState
from fleet.store import Store
from fleet.store_read import add_up
from fleet.views import Baseline, FleetView, Observation

LATE_NS = 30 * 10**9
"""Windows received longer ago than this are taken as committed by every worker, and are read only once."""


class Gatherer:
    """Reads the same spans of time again every second, so it keeps the sums of what cannot change any more."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sums: dict[tuple[str, int, int], tuple[int, dict[str, Observation]]] = {}

    def view(self, state: RolloutState, baselines: Mapping[int, Baseline], now_s: float) -> FleetView:
        """What one step of `state` may look at. `baselines`: by version."""
        devices = tuple(self._store.devices())
        wave = state.waves[-1] if state.waves and state.state in RUNNING else None
        if wave is None:
            over = (state.model, f"{state.id} past")
            self._sums = {known: value for known, value in self._sums.items() if known[0] not in over}
            return FleetView(devices=devices, baselines=baselines)
        # before it settles there is nothing to judge, but people want to see figures early: since the first order
        since_ns, now_ns = int((wave.settled_s or wave.started_s) * 1e9), int(now_s * 1e9)
        new = self._observe(state.model, state.version, since_ns, now_ns)
        old: Mapping[str, Observation] = {}
        if state.control_version:
            old = self._observe(state.model, state.control_version, since_ns, now_ns)
        ordered = [device for device in wave.devices if device in state.ordered]
        return FleetView(
            devices=devices,
            wave={device: o for device, o in new.items() if device in state.ordered},
            control={device: o for device, o in old.items() if device not in state.ordered},
            past=self._past(state, ordered),
            baselines=baselines,
        )

    def _observe(self, model: str, version: int, since_ns: int, until_ns: int) -> dict[str, Observation]:
        key = (model, version, since_ns)
        # a wave that has settled asks from a later moment; the sums of its earlier question are of no more use
        self._sums = {known: value for known, value in self._sums.items() if known[:2] != key[:2] or known == key}
        mark_ns, sums = self._sums.get(key, (since_ns, {}))
        settled_ns = until_ns - LATE_NS
        if settled_ns > mark_ns:
            sums = add_up([sums, self._store.observe(model, version, None, mark_ns, settled_ns)])
            mark_ns = settled_ns
            self._sums[key] = (mark_ns, sums)
        return add_up([sums, self._store.observe(model, version, None, mark_ns, until_ns)])

    def _past(self, state: RolloutState, ordered: list[str]) -> dict[str, Observation]:
        """The wave's devices on the old version, in one soak's time before the first of them was ordered anything."""
        if not ordered or not state.control_version:
            return {}
        until_ns = int(min(state.ordered[device] for device in ordered) * 1e9)
        since_ns = until_ns - int(max(state.plan.soak_s, 1.0) * 1e9)
        key = (f"{state.id} past", state.waves[-1].number, until_ns)
        if key not in self._sums:
            found = self._store.observe(state.model, state.control_version, ordered, since_ns, until_ns)
            self._sums[key] = (until_ns, found)
        return self._sums[key][1]
