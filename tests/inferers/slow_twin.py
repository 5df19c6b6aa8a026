"""The refinement of one window as the paper prints it, in plain loops; shares no code with the bundle."""

import math

import numpy as np
from scipy import ndimage

MASK = (1 << 64) - 1
TABLE_I = {
    "iterations": 50,
    "t_start": 0.09053149415704413,
    "t_end": 0.8052230726911125,
    "w_T": 128.15533098670937,
    "w_S": 57.88546958560159,
    "w_E": 220.70931647468294,
    "beta": 2.6140537072408576,
    "eta": 0.4945043784053065,
    "rho": 2.8422788048947973,
}


def splitmix(value: int) -> int:
    value = (value + 0x9E3779B97F4A7C15) & MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK
    return value ^ (value >> 31)


def noise(shape: tuple[int, int], seed: int, iteration: int) -> np.ndarray:
    state = 0
    for part in (seed, iteration, 0):
        state = splitmix(state ^ part)
    z = np.zeros(shape)
    for row in range(shape[0]):
        for column in range(shape[1]):
            bits = splitmix(splitmix(((row << 32) | column) ^ state))
            u, v = ((bits >> 32) + 0.5) / 2**32, (bits & 0xFFFFFFFF) / 2**32
            z[row, column] = math.sqrt(-2 * math.log(u)) * math.cos(2 * math.pi * v)
    return z


def sigmoid(l: np.ndarray) -> np.ndarray:  # noqa: E741
    return 1 / (1 + np.exp(-l))


def seeds(p: np.ndarray) -> np.ndarray:
    rows, columns = p.shape
    smooth = ndimage.gaussian_filter(p, 1, mode="nearest", radius=3)
    broad = ndimage.gaussian_filter(p, 3, mode="nearest", radius=9)
    score = np.round((smooth + 0.25 * broad) * 4096)
    s = np.zeros_like(p)
    for r in range(rows):
        for c in range(columns):
            if p[r, c] < 0.5:
                continue
            beaten = False
            for i in range(max(0, r - 3), min(rows, r + 4)):
                for j in range(max(0, c - 3), min(columns, c + 4)):
                    tie = score[i, j] == score[r, c] and (i, j) < (r, c)
                    if p[i, j] >= 0.5 and (score[i, j] > score[r, c] or tie):
                        beaten = True
            s[r, c] = not beaten
    return s


def edges(x: np.ndarray) -> np.ndarray:
    magnitude = np.hypot(ndimage.sobel(x, 0, mode="nearest"), ndimage.sobel(x, 1, mode="nearest"))
    return magnitude / magnitude.max()


def energy_and_gradient(p: np.ndarray, q: np.ndarray, e: np.ndarray) -> tuple[float, np.ndarray]:
    """Eq. 13, alpha_T = 1, epsilon = 1, the norm a sum, L_edge the mean of w |grad p|; derivative by p."""
    tp = fp = fn = squares = tv = 0.0
    rows, columns = p.shape
    d_tv = np.zeros_like(p)
    for r in range(rows):
        for c in range(columns):
            tp += p[r, c] * q[r, c]
            fp += p[r, c] * (1 - q[r, c])
            fn += (1 - p[r, c]) * q[r, c]
            squares += (p[r, c] - q[r, c]) ** 2
            for i, j in ((r + 1, c), (r, c + 1)):
                if i < rows and j < columns:
                    w = (math.exp(-10 * e[r, c]) + math.exp(-10 * e[i, j])) / 2
                    tv += w * abs(p[i, j] - p[r, c])
                    d_tv[i, j] += w * np.sign(p[i, j] - p[r, c])
                    d_tv[r, c] -= w * np.sign(p[i, j] - p[r, c])
    top, bottom = tp + 1, tp + fp + TABLE_I["beta"] * fn + 1
    total = TABLE_I["w_T"] * (1 - top / bottom) + TABLE_I["w_S"] * squares + TABLE_I["w_E"] * tv / p.size
    gradient = np.zeros_like(p)
    for r in range(rows):
        for c in range(columns):
            d_bottom = q[r, c] + (1 - q[r, c]) - TABLE_I["beta"] * q[r, c]
            d_index = (q[r, c] * bottom - top * d_bottom) / bottom**2
            gradient[r, c] = (
                -TABLE_I["w_T"] * d_index
                + TABLE_I["w_S"] * 2 * (p[r, c] - q[r, c])
                + TABLE_I["w_E"] * d_tv[r, c] / p.size
            )
    return total, gradient


def refine(x, segmentor, generator, *, iterations: int, seed: int) -> tuple[np.ndarray, list[float]]:  # type: ignore[no-untyped-def]
    """Eqs. 6-15 with `iterations` of Table I's schedule drawn out over them; logits and the energies on the way."""
    l = segmentor(x)  # noqa: E741
    e, energies = edges(x), []
    for i in range(iterations):
        p = sigmoid(l)
        s = seeds(p)
        t = TABLE_I["t_start"] + i / max(1, iterations - 1) * (TABLE_I["t_end"] - TABLE_I["t_start"])
        z = noise(x.shape, seed, i)
        m = t * x + (1 - t) * z
        steps = max(1, math.ceil(4 * (1 - t)))
        for k in range(steps):
            m = m + (1 - t) / steps * generator(m, t + k * (1 - t) / steps, s)
        q = sigmoid(segmentor(m))
        total, gradient = energy_and_gradient(p, q, e)
        energies.append(total)
        l = l - TABLE_I["eta"] * gradient * p * (1 - p)  # noqa: E741
        l = np.clip(l + TABLE_I["rho"] * e, -12, 12)  # noqa: E741
    return l, energies
