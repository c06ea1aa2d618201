"""Jobs that outlive the laptop."""
