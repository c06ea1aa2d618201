"""What this laptop remembers. It saves time or money and never decides what exists."""
