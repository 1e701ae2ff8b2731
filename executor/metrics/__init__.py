"""Measurements of execution: latency by stage, slippage by order."""
