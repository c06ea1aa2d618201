"""Progress, tables, a receipt and JSON: data in, text out, no decisions."""
