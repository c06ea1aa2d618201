"""EC2's behaviour where moto's differs from AWS's."""
