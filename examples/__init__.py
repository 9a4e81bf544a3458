"""Applications made with layerkit, to read, to run and to copy from."""
