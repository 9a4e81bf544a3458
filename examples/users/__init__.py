"""Users over HTTP: register, list, change and remove them, and hear of them live.

``core`` has what all layers share, ``repositories`` the access to data, ``services``
the rules, ``routers`` the adapters to HTTP and websockets. ``wiring`` says who gets
what, ``app`` makes the application, and ``python -m examples.users`` serves it.
"""
