"""config.yaml: its model, reading and writing."""
