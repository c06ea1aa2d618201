"""What a person sees: progress, tables, a receipt; and JSON for scripts. Data in, text out; no decisions."""
