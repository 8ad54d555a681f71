"""A run as a page: reads run folders, and needs neither torch nor a simulator."""

from diswm.report.codes import write_scores
from diswm.report.page import write_report
from diswm.report.phases import switch_lines
from diswm.report.robustness import matrix_text, write_matrix
from diswm.report.summary import summarise

__all__ = ["matrix_text", "summarise", "switch_lines", "write_matrix", "write_report", "write_scores"]
