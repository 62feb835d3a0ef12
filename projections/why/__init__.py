"""Why a message or a delivery is where it is: its causes, and one sentence.

It may import `world` and `analysis`.
"""
