"""One small application, written by hand and with layerkit, for whole requests."""
