"""A run as a page: reads run folders, and needs neither torch nor a simulator."""

from diswm.report.codes import write_scores
from diswm.report.page import write_report
from diswm.report.robustness import write_matrix
from diswm.report.summary import summarise

__all__ = ["summarise", "write_matrix", "write_report", "write_scores"]
