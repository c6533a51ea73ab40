"""Where analytics keeps its rows, and how it adds them up."""
