"""The polynomials of tensor/scalar/scalar_math.h: near-minimax fits by least squares, reweighted after Lawson.

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


def minimax(basis, values, weights):
    """Coefficients with the smallest largest weight * |values - basis @ coefficients|, and that error."""
    share = np.ones(len(values))
    for _ in range(60):
        root = np.sqrt(share) * weights
        coefficients = np.linalg.lstsq(basis * root[:, None], values * root, rcond=None)[0]
        error = np.abs((values - basis @ coefficients) * weights)
        share = share * error
        share *= len(values) / share.sum()
    return coefficients, error.max()


def fit(name, function, weight, powers, points, in_turn=False):
    """Minimises the largest weight * |function - polynomial| over points. in_turn: each coefficient is rounded before the
    next ones are fitted again, which make up for some of that."""
    values = np.array([float(function(mp.mpf(x))) for x in points])
    weights = np.array([float(weight(mp.mpf(x))) for x in points])
    basis = np.stack([points**k for k in powers], axis=1)
    coefficients, error = minimax(basis, values, weights)
    for k in range(len(powers) if in_turn else 0):
        values = values - basis[:, k] * float(np.float32(coefficients[k]))
        if k + 1 < len(powers):
            coefficients[k + 1:] = minimax(basis[:, k + 1:], values, weights)[0]
    print(f"{name}: error {error:.2g}")
    print("    " + ", ".join(float(np.float32(c)).hex() for c in coefficients))


half_ln2 = float(mp.log(2)) / 2 * 1.001
fit("expm1: (e^r - 1 - r) / r^2", lambda r: (mp.expm1(r) - r) / r**2, lambda r: abs(r**2 / mp.expm1(r)), range(5),
    chebyshev(-half_ln2, half_ln2, 400))
fit("log: (ln(1 + f) - f + f^2 / 2) / f^3", lambda f: (mp.log1p(f) - f + f**2 / 2) / f**3,
    lambda f: abs(f**3 / mp.log1p(f)), range(9), chebyshev(2**-0.5 - 1, 2**0.5 - 1, 400))
squeeze = float(np.float32(0.3))  # z = 0 to 14.45 as u = squeeze z / (1 + squeeze z)


def tail(u):
    """e^(z^2 / 2) P(Z > z) / (1 - u), 1/2 at 0."""
    z = u / (1 - u) / squeeze
    return mp.erfc(z / mp.sqrt(2)) / 2 * mp.exp(z**2 / 2) / (1 - u)


fit("tail: (e^(z^2 / 2) P(Z > z) / (1 - u) - 1/2) / u", lambda u: (tail(u) - 0.5) / u, lambda u: u / tail(u), range(9),
    chebyshev(0.0, squeeze * 14.45 / (1 + squeeze * 14.45), 400), in_turn=True)
fit("log1p from 0 to 1: ln(1 + x) / x", lambda x: mp.log1p(x) / x, lambda x: x / mp.log1p(x), range(10),
    chebyshev(0.0, 1.0, 400))
quarter = float(mp.pi / 4) * 1.001
fit("sin: (sin r / r - 1) / r^2", lambda r: (mp.sin(r) - r) / r**3, lambda r: abs(r**3 / mp.sin(r)), range(0, 6, 2),
    chebyshev(0.0, quarter, 400), in_turn=True)
fit("cos: (cos r - 1 + r^2 / 2) / r^4", lambda r: (mp.cos(r) - 1 + r**2 / 2) / r**4, lambda r: abs(r**4 / mp.cos(r)),
    range(0, 6, 2), chebyshev(0.01, quarter, 400), in_turn=True)
fit("erf up to 1: erf(x) / x - 1", lambda x: mp.erf(x) / x - 1, lambda x: abs(x / mp.erf(x)), range(0, 14, 2),
    chebyshev(0.0, 1.0, 400), in_turn=True)
fit("erf from 1 to 4: -ln(1 - erf x) / x, with the error of erf", lambda x: -mp.log(mp.erfc(x)) / x,
    lambda x: abs(x * mp.erfc(x)), range(6), chebyshev(1.0, 4.0, 400), in_turn=True)
largest = float((mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)) * 1.001
third = float(np.float32(2 / 3))  # the first coefficient is given, so that the rounding of the others weighs less
fit("pow: ((2 artanh s - 2 s) / s^3 - 2/3) / s^2", lambda s: ((2 * mp.atanh(s) - 2 * s) / s**3 - third) / s**2,
    lambda s: abs(s**5 / (2 * mp.atanh(s))), range(0, 6, 2), chebyshev(1e-3, largest, 300))
