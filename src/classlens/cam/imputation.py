"""Missing pixels filled in from their surroundings, so that a network cannot see the shape of what was removed.

Source: Rong et al., A consistent and efficient evaluation strategy for attribution methods, ICML 2022, section 5.
"""

import cv2
import numpy as np

from classlens.arrays import Bool, Float32

NEIGHBOURS = np.array([[1, 2, 1], [2, 0, 2], [1, 2, 1]], np.float32) / 12
"""Every missing pixel is the mean of its neighbours with these weights; those outside the picture do not count."""

ROUNDS = 600
TOLERANCE = 1e-4


def filled_in(
    picture: Float32[np.ndarray, "3 height width"], missing: Bool[np.ndarray, "height width"]
) -> Float32[np.ndarray, "3 height width"]:
    """Solve for all missing pixels at once, by conjugate gradients; all missing gives zeros, none the picture itself."""
    if missing.all():
        return np.zeros_like(picture)
    if not missing.any():
        return picture
    gap = missing[:, :, None]
    inside = gap.astype(np.float32)
    known = np.ascontiguousarray(picture.transpose(1, 2, 0)) * (1 - inside)
    weights = spread(np.ones((*missing.shape, 1), np.float32))[:, :, None]
    right = spread(known) * inside
    solution = coarse_guess(known, missing) * inside
    residual = right - (weights * solution - spread(solution)) * inside
    direction, size = residual.copy(), squared(residual)
    goal = TOLERANCE**2 * squared(right)
    for _ in range(ROUNDS):
        if size <= goal:
            break
        image = weights * direction
        image -= spread(direction)
        image *= inside
        step = np.float32(size / float(np.vdot(direction, image)))
        solution += step * direction
        image *= step
        residual -= image
        last, size = size, squared(residual)
        direction *= np.float32(size / last)
        direction += residual
    return np.ascontiguousarray((solution + known).transpose(2, 0, 1))


def squared(values: np.ndarray) -> float:
    """The sum of the squares. The colours are one system: they share every step."""
    return float(np.vdot(values, values))


def spread(values: np.ndarray) -> np.ndarray:
    """The weighted sum of every pixel's neighbours; outside the picture there is nothing."""
    return np.asarray(cv2.filter2D(values, -1, NEIGHBOURS, borderType=cv2.BORDER_CONSTANT))


def coarse_guess(known: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """A start near the solution: the known pixels averaged over ever larger squares until every gap is reached."""
    there = (~missing).astype(np.float32)
    guess, left = known.copy(), missing.copy()
    side = 3
    while left.any():
        count = cv2.blur(there, (side, side), borderType=cv2.BORDER_CONSTANT)
        mean = (
            cv2.blur(known, (side, side), borderType=cv2.BORDER_CONSTANT)
            / np.maximum(count, np.float32(1e-12))[:, :, None]
        )
        reached = left & (count > 1e-6)
        guess[reached] = mean[reached]
        left &= ~reached
        side = 2 * side + 1
    return guess
