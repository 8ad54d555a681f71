"""Scores and measures over plain arrays: numpy only, and nothing of ours, so that any run can be judged anywhere."""
