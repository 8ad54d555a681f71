"""DisWM: world models that learn what can vary from distracting videos (arXiv 2503.08751).

Importing this package loads no simulator, no GL and no logger.
"""

__version__ = "0.1.0"
