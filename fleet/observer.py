"""What control reads of telemetry: the store that ingest writes, and the baselines inside the published bundles."""

from collections.abc import Iterable

from edge.bundle import open_bundle
from edge.errors import EdgeError
from fleet.config import FleetFolder, target_path
from fleet.gather import Gatherer
from fleet.rollout_state import RolloutState
from fleet.store import Store
from fleet.views import Baseline, DeviceView, FleetView


class StoreObserver:
    """`fleet.control.Observer` over the real store."""

    def __init__(self, store: Store, folder: FleetFolder) -> None:
        self._store, self._folder = store, folder
        self._gatherer = Gatherer(store)
        self._baselines: dict[tuple[str, int], Baseline] = {}

    def devices(self) -> Iterable[DeviceView]:
        """Every device that ever spoke."""
        return self._store.devices()

    def view(self, state: RolloutState, now_s: float) -> FleetView:
        """Everything one step of this rollout may look at."""
        versions = [version for version in (state.version, state.control_version) if version]
        baselines = {version: known for version in versions if (known := self._baseline(state.model, version))}
        return self._gatherer.view(state, baselines, now_s)

    def _baseline(self, model: str, version: int) -> Baseline | None:
        """Of a published bundle; None when it is not here (a version that came to devices otherwise)."""
        key = (model, version)
        if key not in self._baselines:
            path = self._folder.artifacts / target_path(model, version)
            try:
                bundle = open_bundle(path)
            except EdgeError:
                return None
            counts = tuple(bundle.baseline.scores.tolist())
            self._baselines[key] = Baseline(counts, bundle.manifest.score_edges)
        return self._baselines[key]
