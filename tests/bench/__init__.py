"""Figures: what durability, a start, HTTP and a terminal cost, each beside something bare.

A figure alone says more about the machine than about the code. So every one is taken in rounds that
alternate with what it is compared to, in the same run, and is told as the median of their ratios.
"""
