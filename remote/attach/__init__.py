"""For commands that attach to the box from a laptop: its servers, and what an editor opens."""
