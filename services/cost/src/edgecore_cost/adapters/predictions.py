"""The fitted laws, one per (model, device), kept up with what is measured."""

import asyncio
from collections.abc import Mapping
from datetime import datetime

from edgecore_cost.adapters import jobs
from edgecore_cost.adapters.catalogue_file import ANY
from edgecore_cost.domain.predictor import Law, Measurement, Prediction, Prior, fit
from edgecore_cost.domain.work import Work
from edgecore_runtime import logs
from edgecore_runtime.database import Database, is_transient

Kind = tuple[str, str]

log = logs.get(__name__)


class Predictions:
    """Answers at once from memory; `run` refits when there is something new."""

    def __init__(
        self, database: Database, priors: Mapping[Kind, Prior], window: int, refit_interval: float
    ) -> None:
        self._database = database
        self._priors = priors
        self._window = window
        self._interval = refit_interval
        self._laws: dict[Kind, Law] = {}
        self._learnt: tuple[int, datetime | None] = (0, None)

    def predict(self, model: str, device: str, work: Work) -> Prediction:
        """Seconds of an attempt, by the shipped prior while nothing is measured."""
        kind = (model, device)
        if kind not in self._laws:
            self._laws[kind] = fit([], self._prior(kind))
        return self._laws[kind].predict(work)

    async def run(self) -> None:
        """Refit until cancelled; a database that is away is tried again next time."""
        while True:
            try:
                await self.refit()
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning("predictions wait for the database", error=repr(error))
            await asyncio.sleep(self._interval)

    async def refit(self) -> None:
        """Fit every law anew if attempts were measured since the last time."""
        async with self._database.reading() as session:
            learnable = await jobs.learnable(session, self._window)
            if learnable == self._learnt:
                return
            measurements = await jobs.measurements(session, self._window)
        self._laws = await asyncio.to_thread(self._fit, measurements)
        self._learnt = learnable

    def _fit(self, measurements: Mapping[Kind, list[Measurement]]) -> dict[Kind, Law]:
        return {kind: fit(found, self._prior(kind)) for kind, found in measurements.items()}

    def _prior(self, kind: Kind) -> Prior:
        return self._priors.get(kind) or self._priors[ANY, ANY]
