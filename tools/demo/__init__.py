"""The demo: the whole story of ackbook on real programs, told through its own command line.

It promises that exit code 0 means that every proof held. It knows no more than a user does: the
verbs, the HTTP API, and the transcripts that the programs keep themselves.
"""
