"""Scores of codes with known answers: perfect, permuted, rotated, redundant, random, dead; and what is refused or warned of."""

from __future__ import annotations

import itertools
import math
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from sklearn.metrics import mutual_info_score, roc_auc_score

from diswm.metrics.disentangle import METRICS, Row, disentanglement, names, prepare
from diswm.metrics.disentangle.information import CODE_BINS, mutual_information
from diswm.metrics.disentangle.probes import logistic

CHANCE = {"mig", "dci_disentanglement", "dci_completeness", "sap", "ridge_r2", "mcc"}  # whose null is about 0
GRID = np.array(list(itertools.product(range(4), repeat=3)) * 32, float)  # 2,048 points: 3 independent factors of 4 even values


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def uniform(count: int = 4_000, factors: int = 2, seed: int = 0) -> np.ndarray:
    return rng(seed).uniform(-1, 1, (count, factors))


def scores(codes: np.ndarray, factors: np.ndarray, discrete: bool = False, **options: Any) -> dict[str, float]:
    rows = disentanglement(codes, factors, [discrete] * factors.shape[1], rng=rng(7), **{"reps": 0, "nulls": 0, **options})
    assert all(math.isfinite(row.value) for row in rows)
    return {row.name: row.value for row in rows}


# ---- known answers


def test_a_perfect_code_of_classes() -> None:
    found = scores(GRID - 1.5, GRID, discrete=True)
    # Own dimension: I = H = ln 4; the others: exactly 0, as every combination is there as often.
    assert found["mig"] == pytest.approx(1.0)
    assert found["modularity"] == pytest.approx(1.0)
    for name in ("dci_disentanglement", "dci_completeness", "dci_informativeness"):
        assert found[name] == pytest.approx(1.0, abs=0.01)
    # Own dimension: thresholds are right always. Another: one class in 4, so 1 - 1/4 = 0.75, less the luck of 1,024 points.
    assert found["sap"] == pytest.approx(0.75, abs=0.05)
    for name in ("factor_vae_score", "beta_vae_score", "explicitness", "irs", "mcc"):
        assert found[name] == pytest.approx(1.0, abs=0.005), name
    # One column a class on x in {-1.5, -0.5, 0.5, 1.5}, of variance 1.25: each explains (x_k / 4)^2 / 1.25, in all (5 / 16) / 1.25 = 0.25
    # of the 4 x (1/4)(3/4) = 0.75 that there is: a line cannot tell four classes. 0.25 / 0.75 = 1/3.
    assert found["ridge_r2"] == pytest.approx(1 / 3, abs=0.01)
    assert found["gaussian_total_correlation"] == pytest.approx(0.0, abs=1e-9)
    assert found["active_units"] == 3


def test_a_perfect_code_of_numbers() -> None:
    found = scores(uniform(), uniform())
    # 20 even cells of the code against 10 classes of even counts: only cells at a class's edge hold two.
    assert 0.85 < found["mig"] < 1.0
    for name in ("mcc", "sap", "ridge_r2", "factor_vae_score", "beta_vae_score"):
        assert found[name] == pytest.approx(1.0, abs=0.01), name
    assert found["dci_disentanglement"] > 0.95
    assert found["gaussian_total_correlation"] < 0.01
    # Within a class (a tenth of [-1, 1]) the code lies within 0.1 of its mean, which is 0.1 of its reach of 1.
    assert found["irs"] == pytest.approx(0.9, abs=0.01)


def test_order_sign_and_scale_of_dimensions_do_not_matter() -> None:
    """All but what speaks of scale itself: every score of a code with its dimensions exchanged, turned round and stretched."""
    before, after = scores(GRID - 1.5, GRID, discrete=True), scores((GRID - 1.5)[:, [2, 0, 1]] * [-3.0, 2.0, 0.7], GRID, discrete=True)
    for name, value in before.items():
        assert after[name] == pytest.approx(value, abs=0.05 if name == "sap" else 0.01), name


def test_a_code_turned_by_45_degrees() -> None:
    turn = np.array([[1, -1], [1, 1]]) / math.sqrt(2)
    found = scores(uniform() @ turn, uniform())
    # Each dimension is half of each factor: |correlation| cos 45 = 0.707, both dimensions alike, so no gap anywhere.
    assert found["mcc"] == pytest.approx(math.sqrt(0.5), abs=0.02)
    for name in ("mig", "sap"):
        assert found[name] == pytest.approx(0.0, abs=0.04), name
    assert found["dci_disentanglement"] < 0.1
    assert found["dci_completeness"] < 0.1
    # Nothing is lost: a linear probe turns it back.
    assert found["ridge_r2"] == pytest.approx(1.0, abs=0.001)
    assert found["gaussian_total_correlation"] < 0.01


def test_a_redundant_code() -> None:
    """Each of two factors in two dimensions of four."""
    factors = GRID[:, :2]
    codes = np.hstack([factors, factors]) - 1.5
    found = scores(codes, factors, discrete=True)
    assert found["mig"] == pytest.approx(0.0, abs=1e-12)  # the second dimension tells as much as the first
    assert found["sap"] == pytest.approx(0.0, abs=1e-12)
    assert found["modularity"] == pytest.approx(1.0)  # each tells of one factor alone
    assert found["dci_disentanglement"] == pytest.approx(1.0, abs=0.01)
    # A factor shared by 2 of 4 dimensions, evenly: 1 - ln 2 / ln 4 = 0.5; more where the trees prefer one of the two.
    assert 0.49 < found["dci_completeness"] < 0.75
    # Eigenvalues 2, 2, 0, 0, of which the latter count as 1e-6: -0.5 (2 ln 2 - 2 ln 10^6) = -0.693 + 13.816.
    assert found["gaussian_total_correlation"] == pytest.approx(6 * math.log(10) - math.log(2), abs=1e-3)


def test_a_random_code_scores_like_its_null() -> None:
    rows = disentanglement(rng(1).normal(size=(3_000, 5)), uniform(3_000, 3), [False] * 3, rng=rng(2), reps=0, nulls=5)
    for row in rows:
        if row.null is not None:
            assert row.value == pytest.approx(row.null, abs=0.06), row
        if row.name in CHANCE:
            assert abs(row.value) < 0.06, row
    found = {row.name: row.value for row in rows}
    assert found["explicitness"] == pytest.approx(0.5, abs=0.03)
    assert found["dci_informativeness"] == pytest.approx(0.1, abs=0.03)  # ten classes
    assert found["factor_vae_score"] == pytest.approx(1 / 3, abs=0.08)  # three factors
    assert found["beta_vae_score"] == pytest.approx(1 / 3, abs=0.08)


def test_dead_dimensions() -> None:
    """Two constant dimensions beside a perfect code change what counts dimensions, and nothing else."""
    perfect = scores(GRID - 1.5, GRID, discrete=True)
    found = scores(np.hstack([GRID - 1.5, np.zeros((2_048, 1)), np.full((2_048, 1), 3.0)]), GRID, discrete=True)
    assert found["modularity"] == pytest.approx(3 / 5)  # a dead one tells of nothing
    for name, value in perfect.items():
        if name not in ("modularity", "sap"):
            assert found[name] == pytest.approx(value, abs=0.01), name
    assert found["active_units"] == 3


def test_nearly_dead_dimensions_win_no_vote() -> None:
    """Noise of standard deviation 0.01 varies least whatever is held still."""
    noise = rng(3).normal(size=(2_048, 2)) * 0.01
    found = scores(np.hstack([GRID - 1.5, noise]), GRID, discrete=True, only=["factor_vae_score", "active_units"])
    assert found == {"factor_vae_score": pytest.approx(1.0), "active_units": 3}


def test_a_code_that_tells_nothing_at_all() -> None:
    with pytest.warns(UserWarning, match="no dimension of the code varies"):
        found = scores(np.ones((2_048, 2)), GRID, discrete=True, reps=2, nulls=1)
    nothing = "mig dci_disentanglement dci_completeness sap modularity irs mcc gaussian_total_correlation active_units"
    assert [found[name] for name in nothing.split()] == [0.0] * 9
    assert found["explicitness"] == 0.5
    assert found["factor_vae_score"] == pytest.approx(1 / 3)
    assert found["beta_vae_score"] == pytest.approx(1 / 3, abs=0.05)
    assert found["ridge_r2"] == pytest.approx(0, abs=0.01)


# ---- by hand, and against others


def two_bits() -> tuple[np.ndarray, np.ndarray]:
    bits = np.array(list(itertools.product((0, 1), repeat=2)) * 100, float)
    return (bits @ [1.0, 2.0])[:, None], bits


def test_two_factors_in_one_dimension() -> None:
    """code = a + 2 b in {0, 1, 2, 3}."""
    found = scores(*two_bits(), discrete=True)
    # It tells both bits, ln 2 each: 1 - (ln 2)^2 / ((ln 2)^2 (2 - 1)) = 0. And there is no second dimension: MIG = (ln 2 - 0) / ln 2.
    assert found["modularity"] == pytest.approx(0.0)
    assert found["mig"] == pytest.approx(1.0)
    # Mean 1.5, reach 1.5. b known: +-0.5, 1 - 0.5 / 1.5 = 2/3. a known: +-1, 1/3. The best counts.
    assert found["irs"] == pytest.approx(2 / 3)
    # Variance 1.25; correlation with a: (1 x 0.25) / sqrt(1.25 x 0.25) = 0.447, with b 0.894. One dimension, two factors: 0.894 / 2.
    assert found["mcc"] == pytest.approx(0.5 / math.sqrt(1.25 * 0.25) / 2)
    # All of one dimension's importance is split in two, all of each factor's lies in one dimension.
    assert found["dci_completeness"] == pytest.approx(1.0)
    assert found["dci_disentanglement"] < 0.2


def test_one_factor_and_one_dimension_are_defined() -> None:
    code, bits = two_bits()
    found = scores(code, bits[:, 1:], discrete=True, reps=2, nulls=1)
    for name in ("mig", "modularity", "dci_disentanglement", "dci_completeness", "factor_vae_score", "beta_vae_score"):
        assert found[name] == pytest.approx(1.0), name


def test_sap_of_numbers_is_the_gap_of_squared_correlations() -> None:
    factors = uniform(4_000, 1)
    codes = np.hstack([factors, factors + rng(1).normal(size=(4_000, 1)) * factors.std()])
    # The second: variance doubled, correlation 1 / sqrt 2, squared 0.5. 1 - 0.5.
    assert scores(codes, factors, only=["sap"])["sap"] == pytest.approx(0.5, abs=0.02)


def test_gaussian_total_correlation_in_closed_form() -> None:
    """A correlation of 0.8: -0.5 ln(1 - 0.64) = 0.511 nats."""
    codes = rng().multivariate_normal([0, 0], [[4, 1.6], [1.6, 1]], size=50_000)
    found = scores(codes, uniform(50_000), only=["gaussian_total_correlation"])
    assert found["gaussian_total_correlation"] == pytest.approx(-0.5 * math.log(0.36), abs=0.01)


def test_active_units_have_variance_above_a_hundredth() -> None:
    codes = rng().normal(size=(4_000, 3)) * [1.0, 0.15, 0.05]  # variances 1, 0.0225, 0.0025
    assert scores(codes, uniform(), only=["active_units"])["active_units"] == 2


def test_mutual_information_against_scikit_learn() -> None:
    points = prepare(rng(1).normal(size=(500, 3)) + uniform(500, 3), uniform(500, 2), [False, False], rng(2))
    information, entropy = mutual_information(points)
    for i, code in enumerate(points.codes.T):
        edges = np.linspace(code.min(), code.max(), CODE_BINS + 1)[1:-1]
        for j, classes in enumerate(points.classes.T):
            assert information[i, j] == pytest.approx(mutual_info_score(np.digitize(code, edges), classes))
    assert entropy == pytest.approx([math.log(10)] * 2)  # ten classes of even counts


def test_explicitness_against_scikit_learn() -> None:
    codes, factors = uniform(1_000, 3) + rng(1).normal(size=(1_000, 3)), np.floor(uniform(1_000, 3)[:, :1] * 1.5)
    points = prepare(codes, factors, [True], rng(2))
    known, probability = logistic(points.scaled[points.train], points.classes[points.train, 0], points.scaled[points.test])
    truth = points.classes[points.test, 0]
    expected = np.mean([roc_auc_score(truth == k, probability[:, i]) for i, k in enumerate(known)])
    (metric,) = (metric for metric in METRICS if metric.names == ("explicitness",))
    assert metric.score(points, rng())[0] == pytest.approx(expected)


# ---- nulls and intervals


def noisy(count: int = 1_000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    factors = uniform(count, 3, seed)
    return factors @ np.array([[1, 0.3, 0], [0, 1, 0.2], [0.4, 0, 1]]) + 0.5 * rng(seed + 1).normal(size=(count, 3)), factors


def test_every_score_has_an_interval_about_it_and_all_but_one_a_null() -> None:
    rows = disentanglement(*noisy(), [False] * 3, rng=rng(), reps=5, nulls=2)
    assert [row.name for row in rows] == names()
    for row in rows:
        assert row.low is not None
        assert row.high is not None
        assert row.low <= row.value <= row.high
        assert (row.null is None) == (row.name == "active_units")
        assert row.null is None or math.isfinite(row.null)
    assert all(row.value > row.null for row in rows if row.null is not None)


def test_the_table_is_the_seed_s_and_a_row_does_not_depend_on_the_others() -> None:
    def table(seed: int, **options: Any) -> list[Row]:
        return disentanglement(*noisy(), [False] * 3, rng=rng(seed), reps=3, nulls=1, **options)

    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    whole = table(0)
    assert whole == table(0)
    assert whole != table(1)
    some = ["irs", "dci_completeness", "beta_vae_score"]
    assert table(0, only=some) == [row for row in whole if row.name in some]
    assert np.random.get_state()[1].tolist() == before, "NumPy's own generator is nobody's"  # noqa: NPY002


def test_nothing_is_drawn_that_was_not_asked_for() -> None:
    (row,) = disentanglement(*noisy(), [False] * 3, rng=rng(), only=["mcc"], reps=0, nulls=0)
    assert (row.low, row.high, row.null) == (None, None, None)


def test_intervals_are_those_of_theory_and_shrink_with_the_root_of_the_points() -> None:
    """A correlation r of N points has standard error (1 - r^2) / sqrt N: r = 0.6, N = 1,000 gives 0.02, so +-0.04."""
    found = {}
    for count in (1_000, 4_000):
        pair = rng().multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], size=count)
        (row,) = disentanglement(pair[:, :1], pair[:, 1:], [False], rng=rng(1), only=["mcc"], reps=400, nulls=0)
        found[count] = (row.high or 0) - (row.low or 0)
    assert found[1_000] == pytest.approx(2 * 1.96 * 0.64 / math.sqrt(1_000), rel=0.2)
    assert found[4_000] == pytest.approx(found[1_000] / 2, rel=0.25)


def test_no_point_is_fitted_on_and_tested_on() -> None:
    points = prepare(np.arange(200.0)[:, None], uniform(200, 1), [False], rng())
    for drawn in (points, points.resampled(rng()), points.permuted(rng())):
        assert not set(drawn.codes[drawn.train, 0]) & set(drawn.codes[drawn.test, 0])
    again = points.resampled(rng())
    link = dict(zip(points.codes[:, 0], points.values[:, 0], strict=True))
    assert all(link[code] == value for code, value in zip(again.codes[:, 0], again.values[:, 0], strict=True))


def test_a_table_takes_seconds() -> None:
    """Half a second to two on one core without intervals; the bound leaves room for a busy machine."""
    factors = uniform(5_000, 8)
    codes = np.tanh(factors @ rng().normal(size=(8, 20))) + 0.3 * rng(1).normal(size=(5_000, 20))
    began = time.process_time()
    scores(codes, factors)
    assert time.process_time() - began < 10


# ---- bad input


def with_nan(values: np.ndarray) -> np.ndarray:
    values = values.copy()
    values[3, 0] = np.nan
    return values


CODES, FACTORS = noisy(200)
BAD: dict[str, tuple[Callable[[], list[Row]], str]] = {
    "few": (lambda: disentanglement(CODES[:99], FACTORS[:99], [False] * 3, rng=rng()), "99 points are too few"),
    "codes": (lambda: disentanglement(with_nan(CODES), FACTORS, [False] * 3, rng=rng()), "codes holds 1 NaN or infinite"),
    "factors": (lambda: disentanglement(CODES, FACTORS / 0.0, [False] * 3, rng=rng()), "factors holds 600 NaN"),
    "rows": (lambda: disentanglement(CODES[:150], FACTORS, [False] * 3, rng=rng()), r"codes \(150, 3\), factors \(200, 3\)"),
    "discrete": (lambda: disentanglement(CODES, FACTORS, [False], rng=rng()), r"discrete \(1,\) must be"),
    "shape": (lambda: disentanglement(CODES[:, 0], FACTORS, [False] * 3, rng=rng()), r"codes must be a matrix"),
    "constant": (
        lambda: disentanglement(CODES, np.ones((200, 2)), [False] * 2, rng=rng(), factor_names=["x", "y"]),
        r"no factor varies \(x, y\)",
    ),
    "classes": (lambda: disentanglement(CODES, FACTORS, [True, False, False], rng=rng()), "factor 0 is discrete, but has 200 values"),
    "names": (lambda: disentanglement(CODES, FACTORS, [False] * 3, rng=rng(), factor_names=["x"]), "1 names for 3 factors"),
    "score": (lambda: disentanglement(CODES, FACTORS, [False] * 3, rng=rng(), only=["migg"]), "no score 'migg': mig"),
    "reps": (lambda: disentanglement(CODES, FACTORS, [False] * 3, rng=rng(), reps=-1), "must be 0 or more"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_in_words(case: str) -> None:
    call, words = BAD[case]
    with np.errstate(all="ignore"), pytest.raises(ValueError, match=words):
        call()


def test_factors_that_do_not_vary_are_left_out_with_a_warning() -> None:
    codes, factors = noisy()
    more = np.insert(factors, 1, 0.5, axis=1)
    with pytest.warns(UserWarning, match=r"do not vary and are left out: still$"):
        found = disentanglement(codes, more, [False] * 4, rng=rng(), reps=0, nulls=1, factor_names=["a", "still", "b", "c"])
    assert found == disentanglement(codes, factors, [False] * 3, rng=rng(), reps=0, nulls=1)


def test_a_rare_class_and_the_smallest_set_give_finite_numbers() -> None:
    """One point of a class: absent from a half and from resamples."""
    factors = np.stack([np.arange(100) % 3, np.arange(100) == 50], 1).astype(float)
    codes = rng().normal(size=(100, 2)) + factors
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = disentanglement(codes, factors, [True, True], rng=rng(), reps=10, nulls=3)
    assert all(math.isfinite(number) for row in rows for number in (row.value, row.low, row.high, row.null) if number is not None)
