"""config.yaml: its model, how it is read, and how it is written."""
