"""The adapters to HTTP and websockets."""
