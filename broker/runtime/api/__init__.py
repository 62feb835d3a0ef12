"""The HTTP side of a broker: guard, routes, handlers and streams. It decides nothing."""
