"""Where the scheduler keeps and sends things."""
