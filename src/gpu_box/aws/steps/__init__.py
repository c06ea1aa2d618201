"""What each step of a plan does in AWS: one function a step."""
