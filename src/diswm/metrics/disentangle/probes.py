"""Scores from predicting factors: fitted on one half of the points, scored on the other."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.stats import rankdata
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression

from diswm.metrics.disentangle.points import Array, Points

_TREES, _LEAF = 10, 5
_SAP_BINS = 20
_RIDGE = 1.0


def dci(points: Points, rng: np.random.Generator) -> tuple[float, float, float]:
    """Disentanglement, completeness and informativeness (Eastwood & Williams 2018, sections 2.1 to 2.3).

    R (E, F) are the importances of the dimensions in a forest a factor. D: 1 - entropy over factors of each dimension's share, to the
    base F; C: 1 - entropy over dimensions of each factor's, to the base E; both weighted by importance. I: mean accuracy on the
    factors' classes (an accuracy, so that high is good, where the paper has an error). Extremely randomised trees in place of the
    paper's forest: the same importances at a fifth of the time.
    """
    importance = np.zeros((points.codes.shape[1], points.classes.shape[1]))
    accuracy = []
    codes = points.codes.astype(np.float32)
    for j, classes in enumerate(points.classes.T):
        # All dimensions at every split: a dimension that tells nothing is then never chosen for want of another.
        forest = ExtraTreesClassifier(_TREES, max_features=None, min_samples_leaf=_LEAF, random_state=int(rng.integers(2**31)))
        forest.fit(codes[points.train], classes[points.train])
        importance[:, j] = forest.feature_importances_
        accuracy.append(forest.score(codes[points.test], classes[points.test]))
    return _concentration(importance), _concentration(importance.T), float(np.mean(accuracy))


def _concentration(importance: Array) -> float:
    """Mean over rows, weighted by their sums, of 1 - entropy of the row to the base of its length; 0 where all is 0."""
    weight, choices = importance.sum(1), importance.shape[1]
    if not weight.sum() > 0:
        return 0.0
    share = importance / np.where(weight > 0, weight, 1.0)[:, None]
    entropy = -np.sum(share * np.log(np.where(share > 0, share, 1.0)), 1) / max(np.log(choices), 1e-12)
    return float(np.average(1 - np.clip(entropy, 0.0, 1.0), weights=weight))


def sap(points: Points, rng: np.random.Generator) -> tuple[float]:
    """Separated attribute predictability: mean over factors of (first - second) score of one dimension alone (Kumar et al. 2018, sec. 3).

    Continuous: the squared correlation. Discrete: balanced accuracy of thresholds on the dimension (20 cells, the likeliest class in each).
    """
    correlations = _correlations(points) ** 2
    gaps = []
    for j, own in enumerate(points.discrete):
        scores = _threshold_scores(points, j) if own else correlations[:, j]
        ranked = np.sort(np.append(scores, 1 / points.levels[j] if own else 0.0))  # beside one dimension: one that tells nothing
        gaps.append(ranked[-1] - ranked[-2])
    return (float(np.mean(gaps)),)


def _threshold_scores(points: Points, j: int) -> Array:
    """Balanced accuracy on factor j of each dimension alone, (E,)."""
    classes, levels = points.classes[:, j], points.levels[j]
    size = np.bincount(classes[points.train], minlength=levels)
    weight = np.where(size > 0, 1 / np.maximum(size, 1), 0.0)
    there = np.bincount(classes[points.test], minlength=levels)
    scores = []
    for code in points.codes.T:
        edges = np.quantile(code[points.train], np.linspace(0, 1, _SAP_BINS + 1)[1:-1])
        cell = np.searchsorted(edges, code, side="right")
        table = np.bincount(cell[points.train] * levels + classes[points.train], minlength=_SAP_BINS * levels)
        likeliest = (table.reshape(_SAP_BINS, levels) * weight).argmax(1)
        right = likeliest[cell[points.test]] == classes[points.test]
        recall = np.bincount(classes[points.test], weights=right, minlength=levels)[there > 0] / there[there > 0]
        scores.append(recall.mean())
    return np.array(scores)


def explicitness(points: Points, rng: np.random.Generator) -> tuple[float]:
    """Mean over factors and classes of the area under the ROC curve of a logistic regression on the whole code: 0.5 is chance, 1 best.

    Ridgeway & Mozer 2018, section 3.
    """
    scores, codes = [], points.scaled
    for classes in points.classes.T:
        known, probability = logistic(codes[points.train], classes[points.train], codes[points.test])
        ranks = rankdata(probability, axis=0)
        truth = classes[points.test][:, None] == known
        yes, no = truth.sum(0), (~truth).sum(0)
        both = (yes > 0) & (no > 0)
        area = ((ranks * truth).sum(0) - yes * (yes + 1) / 2)[both] / (yes * no)[both]
        scores.append(float(area.mean()) if both.any() else 0.5)
    return (float(np.mean(scores)),)


def logistic(codes: Array, classes: Array, others: Array) -> tuple[Array, Array]:
    """Fit a logistic regression; the classes (K,) that it knows and their probabilities at other codes, (M, K)."""
    known = np.unique(classes)
    if len(known) < 2:
        return known, np.ones((len(others), 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a fit that is stopped early is a probe still
        model: Any = LogisticRegression(max_iter=200, tol=1e-3).fit(codes, classes)
    return known, model.predict_proba(others)


def mcc(points: Points, rng: np.random.Generator) -> tuple[float]:
    """Mean correlation coefficient: |Pearson| under the best one-to-one match of dimensions and factors, a factor without one counts 0.

    Hyvarinen & Morioka 2016, section 5. Of a discrete factor the values are taken as numbers.
    """
    strength = np.abs(_correlations(points))
    rows, columns = linear_sum_assignment(strength, maximize=True)
    return (float(strength[rows, columns].sum() / strength.shape[1]),)


def _correlations(points: Points) -> Array:
    """Pearson's, (E, F); 0 for what does not vary."""
    codes, values = (table - table.mean(0) for table in (points.codes, points.values))
    scale = np.sqrt((codes**2).sum(0)[:, None] * (values**2).sum(0))
    found: Array = np.clip(codes.T @ values / np.where(scale > 0, scale, 1.0), -1.0, 1.0)
    return found


def ridge_r2(points: Points, rng: np.random.Generator) -> tuple[float]:
    """Mean over factors of R^2 of a linear probe with a ridge of 1 on the whole code; a discrete factor is one column a class.

    1 is best, about 0 is chance; below 0 the probe is worse than the mean.
    """
    codes = points.scaled[points.train]
    inverse = np.linalg.inv(codes.T @ codes + _RIDGE * np.eye(codes.shape[1]))
    scores = []
    for j, own in enumerate(points.discrete):
        column = points.values[:, j]
        target = np.eye(points.levels[j])[points.classes[:, j]] if own else ((column - column.mean()) / (column.std() or 1.0))[:, None]
        mean = target[points.train].mean(0)
        guess = points.scaled[points.test] @ (inverse @ (codes.T @ (target[points.train] - mean))) + mean
        spread = ((target[points.test] - target[points.test].mean(0)) ** 2).sum()
        scores.append(1 - ((target[points.test] - guess) ** 2).sum() / spread if spread > 0 else 0.0)
    return (float(np.mean(scores)),)
