"""What every verb shares: exit codes, options, output, tables, the client of the HTTP API.

It may import `history` and `shapes`.
"""
