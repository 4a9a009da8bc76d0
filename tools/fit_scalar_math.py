"""The polynomials of tensor/scalar_math.h: near-minimax fits by least squares, reweighted after Lawson.

Needs numpy and mpmath. Prints each polynomial, lowest power first, with its largest relative error before the
coefficients are rounded to float:

    python3 tools/fit_scalar_math.py
"""
import mpmath as mp
import numpy as np

mp.mp.prec = 120


def chebyshev(low, high, count):
    """Points of (low, high), dense at the ends, none at 0, where the quotients below are undefined."""
    points = (low + high) / 2 + (high - low) / 2 * np.cos(np.pi * (np.arange(count) + 0.5) / count)
    return points[np.abs(points) > 1e-6]


def fit(name, function, weight, powers, points):
    """Minimises the largest weight * |function - polynomial| over points."""
    values = np.array([float(function(mp.mpf(x))) for x in points])
    weights = np.array([float(weight(mp.mpf(x))) for x in points])
    basis = np.stack([points**k for k in powers], axis=1)
    share = np.ones(len(points))
    for _ in range(60):
        root = np.sqrt(share) * weights
        coefficients = np.linalg.lstsq(basis * root[:, None], values * root, rcond=None)[0]
        error = np.abs((values - basis @ coefficients) * weights)
        share = share * error
        share *= len(points) / share.sum()
    print(f"{name}: error {error.max():.2g}")
    print("    " + ", ".join(float(np.float32(c)).hex() for c in coefficients))


half_ln2 = float(mp.log(2)) / 2 * 1.001
fit("expm1: (e^r - 1 - r) / r^2", lambda r: (mp.expm1(r) - r) / r**2, lambda r: abs(r**2 / mp.expm1(r)), range(5),
    chebyshev(-half_ln2, half_ln2, 400))
fit("log: (ln(1 + f) - f + f^2 / 2) / f^3", lambda f: (mp.log1p(f) - f + f**2 / 2) / f**3,
    lambda f: abs(f**3 / mp.log1p(f)), range(9), chebyshev(2**-0.5 - 1, 2**0.5 - 1, 400))
slope = float(np.float32(2 / np.sqrt(np.pi)))  # given; the first coefficient is what it lacks
fit("erf: -ln(erfc x) / x - 2 / sqrt pi", lambda x: -mp.log(mp.erfc(x)) / x - slope, lambda x: x * mp.erfc(x) / mp.erf(x),
    range(9), chebyshev(0.0, 4.0, 600))
fit("log1p from 0 to 1: ln(1 + x) / x", lambda x: mp.log1p(x) / x, lambda x: x / mp.log1p(x), range(10),
    chebyshev(0.0, 1.0, 400))
largest = float((mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)) * 1.001
third = float(np.float32(2 / 3))  # the first coefficient is given, so that the rounding of the others weighs less
fit("pow: ((2 artanh s - 2 s) / s^3 - 2/3) / s^2", lambda s: ((2 * mp.atanh(s) - 2 * s) / s**3 - third) / s**2,
    lambda s: abs(s**5 / (2 * mp.atanh(s))), range(0, 6, 2), chebyshev(1e-3, largest, 300))
