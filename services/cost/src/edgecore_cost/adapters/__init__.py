"""Where cost keeps and sends things."""
