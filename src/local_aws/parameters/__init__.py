"""The parameters that AWS accepts: one table, from service models and rows."""
