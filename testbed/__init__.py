"""What tests and benchmarks run gpu-box against: embedded clouds and machines, each of its own."""
