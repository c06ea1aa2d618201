"""The only package that talks to AWS: observe, act, and find what can be launched where."""
