"""Carries out the steps of a plan in AWS, one function per step."""
