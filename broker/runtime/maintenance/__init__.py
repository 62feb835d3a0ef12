"""What a broker does beside its work: snapshots, compaction, scrubbing, and saying how it is.

It may import `core`, `wire`, `history`, `runtime/engine`, `runtime/agents` and `runtime/system`.
"""
