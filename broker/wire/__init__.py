"""Bytes to values and back: requests, frames, keystrokes, and what a screen proves; pure.

It may import `core`.
"""
