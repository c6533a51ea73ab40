"""What the scheduler asks for comes in here."""
