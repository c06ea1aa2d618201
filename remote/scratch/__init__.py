"""~/scratch: the machine's local NVMe if it has one, otherwise a folder on the disk. See `scratch`."""
