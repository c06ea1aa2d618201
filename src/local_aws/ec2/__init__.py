"""EC2 as AWS does it, where moto differs."""
