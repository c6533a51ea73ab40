"""The public HTTP API: it checks who asks and what, stores the job, and shows how it goes."""
