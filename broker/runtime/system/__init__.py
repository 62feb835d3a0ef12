"""What holders and brokers both need of the machine: processes, sessions, signals, unix sockets.

It may import `wire`.
"""
