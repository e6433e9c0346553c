"""The steps of a run: plan, prepare, flash, connect, measure, record."""
