"""How far the dimensions of a code are those of the world: scores of codes against true factors.

``disentanglement(codes, factors, discrete, rng=rng)`` computes all of them and gives a table, each with what chance gives and a
bootstrap interval. They suppose factors that were drawn independently of each other: on an agent's own frames, whose factors move
together, read the probes (``ridge_r2``, ``explicitness``) alone.
"""

try:
    from diswm.metrics.disentangle.information import mutual_information
    from diswm.metrics.disentangle.points import Points, prepare
    from diswm.metrics.disentangle.table import METRICS, Metric, Row, disentanglement, names
except ImportError as error:
    raise ImportError("scores of disentanglement need scikit-learn: pip install 'diswm[metrics]'") from error

__all__ = ["METRICS", "Metric", "Points", "Row", "disentanglement", "mutual_information", "names", "prepare"]
