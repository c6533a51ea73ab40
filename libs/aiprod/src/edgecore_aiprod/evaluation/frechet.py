"""The distance of two sets of clips, as FVD has it (Unterthiner et al. 2018), with a stated extractor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecore_aiprod.evaluation.features import FRECHET, clip_features
from edgecore_aiprod.pixels import to_pixels
from edgecore_aiprod.vae import Encoder
from edgecore_aiprod.world import Video


def frechet_distance(one_NC: NDArray[np.float64], other_MC: NDArray[np.float64]) -> float:
    """Between normal distributions fitted to the rows: |μ1 - μ2|² + tr(C1 + C2 - 2 (C1 C2)^½).

    With C1 = AᵀA and C2 = BᵀB, A and B the centred rows over √(N-1), the trace of the root is the sum of the
    singular values of ABᵀ: no root of a matrix that fewer clips than features leave singular. Raises
    ValueError on less than two rows or rows of different length.
    """
    if min(len(one_NC), len(other_MC)) < 2 or one_NC.shape[1:] != other_MC.shape[1:]:
        raise ValueError(
            f"two or more rows of one length are needed, not {one_NC.shape} and {other_MC.shape}"
        )
    a, b = ((rows - rows.mean(axis=0)) / np.sqrt(len(rows) - 1) for rows in (one_NC, other_MC))
    shift = one_NC.mean(axis=0) - other_MC.mean(axis=0)
    root = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    return max(0.0, float(shift @ shift + (a * a).sum() + (b * b).sum() - 2.0 * root))


def embed(encoder: Encoder, videos: Sequence[Video]) -> NDArray[np.float64]:
    """One row of features a clip."""
    rows: NDArray[np.float64] = clip_features(encoder, to_pixels(np.stack(videos))).double().cpu().numpy()
    return rows


def measure(
    encoder: Encoder,
    real: Sequence[Video],
    others: Sequence[Video],
    rebuilt: Sequence[Video],
    made: Sequence[Video],
) -> dict[str, Any]:
    """Distances from `real`: of `others`, as real (the floor that so few clips allow), of clips through the
    autoencoder, and of those the model made.
    """
    rows = embed(encoder, real)
    return {
        "clips": len(made),
        "extractor": FRECHET,
        "floor": frechet_distance(rows, embed(encoder, others)),
        "rebuilt": frechet_distance(rows, embed(encoder, rebuilt)),
        "made": frechet_distance(rows, embed(encoder, made)),
    }
