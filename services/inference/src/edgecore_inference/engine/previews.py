"""Pictures of the video in the making, within a budget.

A preview costs a decode on the device that samples. What previews took so far, together with the next one, may
be at most a share of what sampling took: steps without room for one go by without. So the first comes at once
(nothing was measured yet), and a long job gets as many as the share allows, evenly.
"""

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from edgecore_inference.domain.engine_messages import Preview
from edgecore_inference.media.frames import Picture, Video
from edgecore_inference.media.jpeg import small_jpeg


@dataclass(frozen=True)
class Look:
    """One picture, number `frame` of a video's `frames`."""

    frame: int
    frames: int
    picture: Picture


Draw = Callable[[int], Look]
"""The n-th picture, from 0, of a walk through the clip that begins again at its end, as it is known now."""


class PreviewMaker:
    """For one video. `share` says what is allowed now, `offer` takes what was made or drops it."""

    def __init__(
        self,
        share: Callable[[], float],
        offer: Callable[[Preview, bytes], bool],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._share = share
        self._offer = offer
        self._now = now
        self._begun = now()
        self._spent = 0.0
        self._last_cost = 0.0
        self._made = 0
        self._failed = False

    def after_step(self, step: int, steps: int, draw: Draw) -> None:
        """Make a preview if the budget has room for one. A failure ends the previews, not the video."""
        share, started = self._share(), self._now()
        sampled = started - self._begun - self._spent
        if self._failed or share <= 0 or self._spent + self._last_cost > share * sampled:
            return
        self._make(step, steps, draw)
        self._made += 1
        self._last_cost = self._now() - started
        self._spent += self._last_cost

    def after_decode(self, steps: int, video: Video) -> None:
        """One picture of the video itself, which costs next to nothing: what viewers see last."""
        if self._failed or self._share() <= 0:
            return
        middle = len(video) // 2
        self._make(steps, steps, lambda _: Look(middle, len(video), video[middle]))

    def _make(self, step: int, steps: int, draw: Draw) -> None:
        try:
            look = draw(self._made)
            data, width, height = small_jpeg(look.picture)
        except Exception:  # of torch and of the encoder, memory included: nobody may miss a video for a preview
            traceback.print_exc()
            self._failed = True
            return
        self._offer(Preview(step, steps, look.frame, look.frames, width, height, len(data)), data)
