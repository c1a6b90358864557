"""What control reads of telemetry: the store that ingest writes, and the baselines inside the published bundles."""

from collections.abc import Iterable

from edge.bundle import open_bundle
from edge.errors import EdgeError
from fleet.config import FleetFolder, target_path
from fleet.gather import Gatherer
from fleet.rollout_state import RolloutState
from fleet.store import Store
from fleet.views import DeviceView, FleetView


class StoreObserver:
    """`fleet.control.Observer` over the real store."""

    def __init__(self, store: Store, folder: FleetFolder) -> None:
        self._store, self._folder = store, folder
        self._gatherer = Gatherer(store)
        self._scores: dict[tuple[str, int], tuple[int, ...]] = {}

    def devices(self) -> Iterable[DeviceView]:
        """Every device that ever spoke."""
        return self._store.devices()

    def view(self, state: RolloutState, now_s: float) -> FleetView:
        """Everything one step of this rollout may look at."""
        versions = [version for version in (state.version, state.control_version) if version]
        baselines = {version: scores for version in versions if (scores := self._baseline(state.model, version))}
        return self._gatherer.view(state, baselines, now_s)

    def _baseline(self, model: str, version: int) -> tuple[int, ...]:
        """Score counts of a published bundle; empty when it is not here (a version that came to devices otherwise)."""
        key = (model, version)
        if key not in self._scores:
            path = self._folder.artifacts / target_path(model, version)
            try:
                bundle = open_bundle(path)
                known = bundle.manifest.task == "classify"  # devices count no other task's scores by its own edges
                self._scores[key] = tuple(bundle.baseline.scores.tolist()) if known else ()
            except EdgeError:
                return ()
        return self._scores[key]
