"""From pixels to metres on the ground, by four points whose real places were measured."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgerun.zones.options import GroundOptions


class Ground:
    """The plane on which things stand. Holds for points that touch it, so for the lower edge of a box."""

    def __init__(self, options: GroundOptions) -> None:
        # the plane homography by the direct linear transform: the null vector of the points' equations (Hartley and
        # Zisserman, Multiple View Geometry, 2nd ed., section 4.1)
        rows = []
        for (x, y), (u, v) in zip(options.points, options.meters, strict=True):
            rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y, -u], [0, 0, 0, x, y, 1, -v * x, -v * y, -v]]
        self._matrix = np.linalg.svd(np.array(rows))[2][-1].reshape(3, 3)
        middle = np.append(np.mean(options.points, axis=0), 1.0)
        self._front = np.sign(self._matrix[2] @ middle)

    def meters(self, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Places on the ground in metres, f64 (N,2), of points in 0-1 of the picture; NaN above the horizon."""
        mapped = points @ self._matrix[:, :2].T + self._matrix[:, 2]
        depth = mapped[:, 2:] * self._front
        places: npt.NDArray[np.float64] = mapped[:, :2] * self._front / np.where(depth > 1e-9, depth, np.nan)
        return places
