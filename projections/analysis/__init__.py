"""Questions to a whole history: rows, audits, outcomes, differences, conditions.

It may import `world` and `why`.
"""
